//! Runs the engine under apalis: its worker, its layers, its monitor and its graceful shutdown are what carries
//! steps out; the queue behind them is ours, because only ours has a lease, a fence and a claim count.
//!
//! [`queue`] is the local queue that apalis polls as its backend; [`claimer`] fills it; [`turns`] runs one step and
//! settles it through the engine's committer before its slot is free again; [`watchdog`] ends the process when an
//! action does not come back; [`periodic`] is the work that comes round; [`runner`] puts them under one monitor.

mod claimer;
mod periodic;
mod queue;
mod runner;
mod turns;
mod watchdog;

pub use periodic::{Chore, Chores};
pub use runner::{WorkerError, WorkerSettings, run};
