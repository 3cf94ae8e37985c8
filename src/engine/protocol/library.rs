//! Stored runs.

use serde::{Deserialize, Serialize};

/// Commands about the stored runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibraryCommand {
    /// List the stored runs.
    List,
    /// Open a stored run to compare and export it. The open model will do if it has the content of the run's; else that
    /// is opened where it was.
    Open {
        /// The run.
        run_id: String,
    },
    /// Rename a run or write notes about it.
    Describe {
        /// The run.
        run_id: String,
        /// Its name.
        name: String,
        /// Free text.
        notes: String,
    },
    /// Delete a stored run with its files.
    Delete {
        /// The run.
        run_id: String,
    },
    /// All metrics of a stored run.
    ReadHistory {
        /// The run.
        run_id: String,
    },
    /// Take a `.run` archive in, which comes beside the command.
    Import,
    /// Take in an adapter of the open model that was trained elsewhere, as a run without steps; the files of its PEFT
    /// folder come beside the command.
    ImportAdapter,
    /// Measure the storage in use.
    MeasureStorage,
}
