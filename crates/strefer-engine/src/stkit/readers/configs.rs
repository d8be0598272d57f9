//! Where the datasets lie whose readers are not part of every program: a configuration is read and checked all the same.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where Argoverse 2 lies, and what is taken of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgoverseConfig {
    /// The folder of logs, such as `sensor/train`.
    pub root: PathBuf,
    /// The camera.
    #[serde(default = "ring_front")]
    pub camera: String,
}

fn ring_front() -> String {
    "ring_front_center".to_owned()
}

/// Where nuPlan lies, and what is taken of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NuplanConfig {
    /// A database, or a folder of them.
    pub logs: PathBuf,
    /// The folder of pictures, below which a log has a folder.
    pub pictures: PathBuf,
    /// The camera.
    #[serde(default = "front")]
    pub channel: String,
}

fn front() -> String {
    "CAM_F0".to_owned()
}
