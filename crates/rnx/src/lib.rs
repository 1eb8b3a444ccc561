//! The host side of Joblet runtimes.

pub mod access;
pub mod alias;
pub mod config;
pub mod contents;
pub mod credentials;
pub mod export;
pub mod failure;
pub mod fixes;
pub mod gc;
pub mod github;
pub mod gpu;
pub mod in_use;
pub mod install;
pub mod job;
pub mod list;
pub mod output;
pub mod record;
pub mod registry;
pub mod remove;
pub mod repair;
pub mod resolve;
pub mod run;
pub mod shield;
pub mod shown;
pub mod upload;
pub mod verify;
