//! Commands in, events out, within one thread of control: what is not wanted now waits its turn.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::protocol::{Command, Event};
use crate::error::{Error, Result};
use crate::platform::host::{PickedFile, sleep};

/// A command with the files that it is about.
#[derive(Debug, Clone)]
pub struct Message {
    /// What is asked.
    pub command: Command,
    /// Files that a person chose.
    pub files: Vec<PickedFile>,
}

/// Commands in the order in which they came.
pub struct Inbox {
    receiver: UnboundedReceiver<Message>,
    waiting: VecDeque<Message>,
}

/// Where events go.
pub type Outbox = Box<dyn Fn(Event)>;

/// An inbox, and where to send messages for it.
pub fn channel() -> (UnboundedSender<Message>, Inbox) {
    let (sender, receiver) = mpsc::unbounded();
    (sender, Inbox { receiver, waiting: VecDeque::new() })
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
        self.waiting.pop_front().or_else(|| self.receiver.try_recv().ok())
    }

    /// True if `Cancel` was sent; everything else waits.
    pub(super) fn cancelled(&mut self) -> bool {
        let mut cancelled = false;
        while let Ok(message) = self.receiver.try_recv() {
            match message.command {
                Command::Cancel => cancelled = true,
                _ => self.waiting.push_back(message),
            }
        }
        cancelled
    }

    /// Waits for `work`, or until `Cancel` is sent; everything else waits.
    pub(super) async fn unless_cancelled<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            while let Poll::Ready(Ok(message)) = pin!(self.receiver.recv()).poll(context) {
                match message.command {
                    Command::Cancel => return Poll::Ready(Err(Error::Cancelled)),
                    _ => self.waiting.push_back(message),
                }
            }
            work.as_mut().poll(context)
        })
        .await
    }

    /// True if a run is to make way: to be cancelled, paused, stopped or thrown away. The command itself waits.
    pub(super) fn wants_the_run_to_end(&mut self) -> bool {
        while let Ok(message) = self.receiver.try_recv() {
            self.waiting.push_back(message);
        }
        let ends = |command: &Command| {
            matches!(command, Command::Cancel | Command::Pause | Command::Stop | Command::Discard { .. })
        };
        self.waiting.iter().any(|message| ends(&message.command))
    }
}
