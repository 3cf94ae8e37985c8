//! Commands in, events out, within one thread of control: what is not wanted now waits its turn.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::protocol::{Command, Event, RunCommand};
use crate::error::{Error, Result};
use crate::platform::host::{PickedFile, sleep};

/// A command with the files that it is about.
#[derive(Debug, Clone)]
pub struct Message {
    /// The command.
    pub command: Command,
    /// Files that a person chose.
    pub files: Vec<PickedFile>,
}

/// Commands in the order in which they came. Once nobody can send any more, everything is cancelled, and a run at work
/// is paused: the engine ends as soon as it can, with what it has in the store.
pub struct Inbox {
    receiver: UnboundedReceiver<Message>,
    waiting: VecDeque<Message>,
    closed: bool,
}

/// Callback that gets every event.
pub type Outbox = Box<dyn Fn(Event)>;

/// An inbox, and where to send messages for it.
pub fn channel() -> (UnboundedSender<Message>, Inbox) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, Inbox { receiver, waiting: VecDeque::new(), closed: false })
}

impl Inbox {
    /// Waits for the next message; none if nobody can send any more.
    pub(super) async fn next(&mut self) -> Option<Message> {
        match self.waiting.pop_front() {
            Some(message) => Some(message),
            None => self.receiver.recv().await.ok(),
        }
    }

    /// Waits so many seconds, or until a message is there; true if none came and some still can.
    pub(super) async fn idle_for(&mut self, seconds: f64) -> bool {
        if !self.waiting.is_empty() {
            return false;
        }
        let mut time = pin!(sleep(seconds));
        poll_fn(|context| match pin!(self.receiver.recv()).poll(context) {
            Poll::Ready(message) => {
                self.waiting.extend(message.ok());
                Poll::Ready(false)
            }
            Poll::Pending => time.as_mut().poll(context).map(|()| true),
        })
        .await
    }

    /// The next message if one is there.
    pub(super) fn poll(&mut self) -> Option<Message> {
        self.receive();
        self.waiting.pop_front()
    }

    /// Takes in what was sent.
    fn receive(&mut self) {
        while !self.closed {
            match self.receiver.try_recv() {
                Ok(message) => self.waiting.push_back(message),
                Err(mpsc::TryRecvError::Empty) => return,
                Err(mpsc::TryRecvError::Closed) => self.close(),
            }
        }
    }

    /// Nobody can send any more.
    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.waiting.push_back(Message { command: Command::Run(RunCommand::Pause), files: Vec::new() });
        }
    }

    /// True if `Cancel` was sent; everything else waits.
    pub(super) fn cancelled(&mut self) -> bool {
        self.receive();
        let waiting = self.waiting.len();
        self.waiting.retain(|message| message.command != Command::Cancel);
        self.closed || self.waiting.len() < waiting
    }

    /// Waits for `work`, or until `Cancel` is sent; everything else waits.
    pub(super) async fn unless_cancelled<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            while let Poll::Ready(message) = pin!(self.receiver.recv()).poll(context) {
                match message {
                    Ok(Message { command: Command::Cancel, .. }) => return Poll::Ready(Err(Error::Cancelled)),
                    Ok(message) => self.waiting.push_back(message),
                    Err(_) => {
                        self.close();
                        return Poll::Ready(Err(Error::Cancelled));
                    }
                }
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits for `work`; none after `seconds`, or once something was asked for that is no request of the app's own. All
    /// messages wait.
    #[cfg(feature = "app")]
    pub(super) async fn unless_asked<T>(&mut self, work: impl Future<Output = T>, seconds: f64) -> Option<T> {
        let (mut work, mut time) = (pin!(work), pin!(sleep(seconds.max(0.0))));
        poll_fn(|context| {
            while !self.closed
                && let Poll::Ready(message) = pin!(self.receiver.recv()).poll(context)
            {
                match message {
                    Ok(message) => self.waiting.push_back(message),
                    Err(_) => self.close(),
                }
            }
            let is_asked = self.waiting.iter().any(|message| !message.command.rules().quiet);
            if is_asked || time.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// The next message if one is there and it is a request of the app's own.
    #[cfg(feature = "app")]
    pub(super) fn poll_quiet(&mut self) -> Option<Message> {
        self.receive();
        self.waiting.pop_front_if(|message| message.command.rules().quiet)
    }

    /// True if this run is to make way: to be cancelled, paused, stopped or discarded. The command itself waits.
    pub(super) fn wants_the_run_to_end(&mut self, run_id: &str) -> bool {
        self.receive();
        // A cancel behind an export is meant for the export, which finds it itself.
        let export = self.waiting.iter().position(|message| matches!(message.command, Command::Export(_)));
        self.waiting.iter().enumerate().any(|(i, message)| match &message.command {
            Command::Cancel => export.is_none_or(|export| i < export),
            Command::Run(RunCommand::Pause | RunCommand::Stop) => true,
            Command::Run(RunCommand::Discard { run_id: discarded }) => discarded == run_id,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_a_run_ends_it() {
        let (sender, mut inbox) = channel();
        let send = |command| sender.unbounded_send(Message { command, files: Vec::new() }).expect("the inbox is there");
        send(Command::Run(RunCommand::Discard { run_id: "another".to_owned() }));
        assert!(!inbox.wants_the_run_to_end("this"), "another run is discarded");
        send(Command::Run(RunCommand::Discard { run_id: "this".to_owned() }));
        assert!(inbox.wants_the_run_to_end("this"), "it is discarded itself");
    }

    #[test]
    fn without_a_sender_work_is_cancelled_and_a_run_paused() {
        let (sender, mut inbox) = channel();
        assert!(!inbox.cancelled() && !inbox.wants_the_run_to_end("this"), "somebody could still send");
        drop(sender);
        assert!(inbox.wants_the_run_to_end("this") && inbox.cancelled(), "nobody is there to see the end of it");
        assert!(
            matches!(inbox.poll(), Some(Message { command: Command::Run(RunCommand::Pause), .. })),
            "what there is is saved"
        );
        assert!(inbox.poll().is_none(), "once");
    }

    #[test]
    fn a_cancel_behind_other_commands_is_found() {
        let (sender, mut inbox) = channel();
        let send = |command| sender.unbounded_send(Message { command, files: Vec::new() }).expect("the inbox is there");
        send(Command::Run(RunCommand::Stop));
        send(Command::Cancel);
        assert!(inbox.wants_the_run_to_end("this"), "both wait");
        assert!(inbox.cancelled(), "one of them is a cancel");
        assert!(!inbox.cancelled(), "which is gone");
        assert!(
            matches!(inbox.poll(), Some(Message { command: Command::Run(RunCommand::Stop), .. })),
            "the other still waits"
        );
    }
}
