//! The Hugging Face Hub as this user's tools have it, by huggingface_hub's environment variables: server, cache, token,
//! and whether it may be asked at all.

use std::path::{Path, PathBuf};

use super::native_app::{Store, for_people};
use crate::error::{Error, Result};
use crate::platform::is_below;

/// A server of models, and the cache for what it sends.
#[derive(Clone)]
pub struct Hub {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// The folder in which all tools keep what they fetched; none if this system names no home.
    pub cache: Option<PathBuf>,
    /// Token for models that the server does not give to everybody.
    pub token: Option<String>,
    /// Places where a token is looked for, for the user to read; none if that is switched off.
    pub token_places: Option<String>,
    /// The variable that forbids every connection.
    pub offline: Option<&'static str>,
}

impl Hub {
    /// Reads the current variables and files of this computer.
    pub fn of_this_person() -> Self {
        let home = directories::BaseDirs::new().map(|places| places.home_dir().to_owned());
        Self::new(|name| std::env::var(name).ok(), home.as_deref())
    }

    fn new(variable: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let value = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let is_on = |name: &str| {
            value(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()))
        };
        let folder = |name: &str| {
            let value = value(name)?;
            match (value.strip_prefix("~/"), home) {
                (Some(below), Some(home)) => Some(home.join(below)),
                _ => std::path::absolute(value).ok(),
            }
        };
        let hub_home = folder("HF_HOME")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(home?.join(".cache/huggingface")));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(hub_home.as_ref()?.join("hub")));
        let file = folder("HF_TOKEN_PATH").or_else(|| Some(hub_home?.join("token")));
        let looks = !is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
        let in_file = || {
            let text = std::fs::read_to_string(file.as_ref()?).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let token = || value("HF_TOKEN").or_else(|| value("HUGGING_FACE_HUB_TOKEN")).or_else(in_file);
        let endpoint = value("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: if looks { token() } else { None },
            token_places: looks.then(|| match &file {
                Some(file) => format!("HF_TOKEN or {}", for_people(file)),
                None => "HF_TOKEN".to_owned(),
            }),
            offline: ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_on(name)),
        }
    }

    /// Destination of downloads, for the user to read.
    pub fn place(&self) -> String {
        self.cache.as_deref().map_or_else(|| "the Hugging Face cache".to_owned(), for_people)
    }

    /// The cache as a storage; its folder is made if it is not there.
    pub async fn cache(&self) -> Result<Option<Store>> {
        match &self.cache {
            Some(cache) => Store::open(&cache.display().to_string()).await.map(Some),
            None => Err(Error::input(
                "This system names no folder for the Hugging Face cache",
                "Set HF_HOME to a folder that can be written to",
                "",
            )),
        }
    }

    /// Advice about a model that the server gives only to some users.
    pub fn fix_for_refusal(&self, url: &str) -> String {
        let conditions = format!("accept the model's conditions at {}", self.endpoint);
        match (&self.token, &self.token_places) {
            _ if !self.is_own(url) => format!("A token goes to {} alone: choose a model for anyone", self.endpoint),
            (Some(_), Some(places)) => {
                format!("Check the name; {conditions}, or use a token that may read it (there is one in {places})")
            }
            (_, Some(places)) => {
                let leave = format!("leave a token in {places}, as `hf auth login` does");
                format!("Check the name; {conditions}, and {leave}, or type one in Find models")
            }
            (_, None) => {
                format!("Check the name; {conditions}, and allow a token: HF_HUB_DISABLE_IMPLICIT_TOKEN is set")
            }
        }
    }

    /// True for an address of this server: no other gets the token.
    fn is_own(&self, url: &str) -> bool {
        is_below(url, &self.endpoint)
    }

    /// Asks a server for the bytes of `url` from `begin` on.
    #[cfg(feature = "app")]
    pub async fn fetch_range(&self, url: &str, begin: u64) -> Result<super::native_http::Fetched> {
        if let Some(name) = self.offline {
            let what = format!("{name} is set, so that no connection is opened");
            return Err(Error::input(what, "Unset it, or open a model that is on this computer", url));
        }
        let token = self.token.as_deref().filter(|_| self.is_own(url));
        super::native_http::fetch_range(url, begin, token).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(set: &[(&str, &str)]) -> Hub {
        let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Hub::new(variable, Some(Path::new("/home/me")))
    }

    #[test]
    fn the_cache_is_where_the_variables_say() {
        let cache = |set: &[(&str, &str)]| hub(set).cache.map(|path| path.display().to_string());
        let all =
            [("HF_HUB_CACHE", "/a"), ("HUGGINGFACE_HUB_CACHE", "/b"), ("HF_HOME", "~/c"), ("XDG_CACHE_HOME", "/d")];
        assert_eq!(cache(&all).as_deref(), Some("/a"), "first");
        assert_eq!(cache(&all[1..]).as_deref(), Some("/b"), "second");
        assert_eq!(cache(&all[2..]).as_deref(), Some("/home/me/c/hub"), "third");
        assert_eq!(cache(&all[3..]).as_deref(), Some("/d/huggingface/hub"), "fourth");
        assert_eq!(cache(&[("HF_HOME", "")]).as_deref(), Some("/home/me/.cache/huggingface/hub"), "none");
    }

    #[test]
    fn the_token_is_where_the_variables_say_and_for_one_server() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), "hf_file\n").expect("a file");
        let home = folder.path().display().to_string();
        let file = folder.path().join("token").display().to_string();
        let token = |set: &[(&str, &str)]| hub(set).token;
        assert_eq!(token(&[("HF_TOKEN", " hf_a\n"), ("HF_HOME", &home)]).as_deref(), Some("hf_a"), "the variable");
        assert_eq!(token(&[("HF_TOKEN", ""), ("HF_HOME", &home)]).as_deref(), Some("hf_file"), "the cache's file");
        assert_eq!(token(&[("HF_TOKEN_PATH", &file), ("HF_HOME", "/x")]).as_deref(), Some("hf_file"), "another file");
        assert_eq!(token(&[("HF_HOME", "/x")]), None, "neither");
        let off = hub(&[("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!((off.token, off.token_places), (None, None), "switched off");

        let own = hub(&[("HF_ENDPOINT", "https://hub.example/"), ("HF_TOKEN", "hf_a")]);
        for (url, is_own) in [
            ("https://hub.example/api/x", true),
            ("http://hub.example/api/x", false),
            ("https://hub.example.org/x", false),
            ("https://hub.example@other/x", false),
            ("https://huggingface.co/x", false),
        ] {
            assert_eq!(own.is_own(url), is_own, "{url}");
        }
    }

    #[test]
    fn a_variable_forbids_connections() {
        assert_eq!(hub(&[("HF_HUB_OFFLINE", "1")]).offline, Some("HF_HUB_OFFLINE"), "it is set");
        assert_eq!(hub(&[("HF_HUB_OFFLINE", "0")]).offline, None, "it is set to no");
    }
}
