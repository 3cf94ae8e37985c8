//! The session's commands on the Hub: fetch a model.

use crate::engine::protocol::HubCommand;
use crate::engine::session::Session;
use crate::error::Result;

impl Session {
    #[cfg(feature = "app")]
    pub(in crate::engine) async fn handle_hub(&mut self, command: HubCommand) -> Result<()> {
        match command {
            HubCommand::Fetch { repo, endpoint } => self.fetch_model(&repo, &endpoint).await,
        }
    }

    /// A build for the command line alone has nothing to connect with.
    #[cfg(not(feature = "app"))]
    pub(in crate::engine) async fn handle_hub(&mut self, _command: HubCommand) -> Result<()> {
        let what = "This pairtune was built without downloads";
        Err(crate::error::Error::input(what, "Build it with the feature `app`", ""))
    }

    #[cfg(feature = "app")]
    async fn fetch_model(&mut self, repo: &str, endpoint: &str) -> Result<()> {
        let (hub, store) = ((self.hub)(), self.store.as_ref().map_err(Clone::clone));
        let fetched = super::fetch::fetch(&mut self.wire, &hub, store, repo, endpoint).await;
        // The list shows the model even if its download is not finished.
        self.list_models().await;
        self.open_model(fetched?, Vec::new()).await
    }
}
