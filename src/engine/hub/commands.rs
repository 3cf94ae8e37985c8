//! The session's commands on the Hub: search, fetch a model, use a token.

#[cfg(feature = "app")]
use super::{fetch, search};
use crate::engine::protocol::HubCommand;
#[cfg(feature = "app")]
use crate::engine::protocol::{Event, HubEvent};
use crate::engine::session::Session;
#[cfg(not(feature = "app"))]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "app")]
use crate::platform::host::Hub;

impl Session {
    #[cfg(feature = "app")]
    pub(in crate::engine) async fn handle_hub(&mut self, command: HubCommand) -> Result<()> {
        let hub = self.hub_now();
        match command {
            HubCommand::Search { text, most_parameters, endpoint } => {
                let models = search::search(&mut self.wire, &hub, &text, most_parameters, &endpoint).await?;
                self.wire.send(Event::Hub(HubEvent::Measuring(true)));
                self.measure_models(&hub, &models, &endpoint).await;
                self.wire.send(Event::Hub(HubEvent::Measuring(false)));
                Ok(())
            }
            HubCommand::Fetch { repo, endpoint } => {
                let store = self.store.as_ref().map_err(Clone::clone);
                let fetched = fetch::fetch(&mut self.wire, &hub, store, &repo, &endpoint).await;
                // The list shows the model even if its download is not finished.
                self.list_models().await;
                self.open_model(fetched?, Vec::new()).await
            }
            HubCommand::SetToken { token } => {
                self.token = token;
                Ok(())
            }
        }
    }

    /// The Hub as this computer has it, with the token that the user typed.
    #[cfg(feature = "app")]
    fn hub_now(&self) -> Hub {
        let mut hub = (self.hub)();
        if let Some(token) = &self.token {
            hub.token = Some(token.0.clone());
            hub.token_places = Some("Find models".to_owned());
        }
        hub
    }

    /// A build for the command line alone has nothing to connect with.
    #[cfg(not(feature = "app"))]
    pub(in crate::engine) async fn handle_hub(&mut self, _command: HubCommand) -> Result<()> {
        Err(Error::input("This pairtune was built without downloads", "Build it with the feature `app`", ""))
    }
}
