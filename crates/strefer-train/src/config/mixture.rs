//! A mixture that stands in the run's own file, or in one that is named.

use std::fmt;
use std::path::Path;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use strefer_core::mixture::MixtureConfig;
use strefer_core::settings;

/// Reads it from either place.
pub(super) fn here_or_in_file<'de, D: Deserializer<'de>>(from: D) -> Result<MixtureConfig, D::Error> {
    struct Either;

    impl<'de> Visitor<'de> for Either {
        type Value = MixtureConfig;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of sources, or the path of a file with one")
        }

        fn visit_str<E: Error>(self, path: &str) -> Result<MixtureConfig, E> {
            settings::load(Path::new(path), &[]).map_err(E::custom)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MixtureConfig, A::Error> {
            MixtureConfig::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Either)
}

/// Its schema.
pub(super) fn schema(generator: &mut SchemaGenerator) -> Schema {
    let table = generator.subschema_for::<MixtureConfig>();
    json_schema!({
        "description": "Sources and weights, or the path of a file that holds them (`strefer mix` writes one); paths are relative to the working folder.",
        "anyOf": [table, { "type": "string" }]
    })
}
