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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Data {
        #[serde(deserialize_with = "here_or_in_file")]
        mixture: MixtureConfig,
    }

    #[test]
    fn a_mixture_stands_in_the_file_or_in_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mixture.toml");
        std::fs::write(&file, "[[sources]]\nname = \"a\"\npath = \"a.jsonl\"\nphase = [0.0, 0.5]\n").unwrap();
        let there: Data = toml::from_str(&format!("mixture = {:?}", file.display().to_string())).unwrap();
        let here: Data =
            toml::from_str("[[mixture.sources]]\nname = \"a\"\npath = \"a.jsonl\"\nphase = [0.0, 0.5]\n")
                .unwrap();
        assert_eq!(there.mixture, here.mixture);
        let lost = toml::from_str::<Data>("mixture = \"nowhere.toml\"").unwrap_err().to_string();
        assert!(lost.contains("nowhere.toml"), "{lost}");
        let unknown = toml::from_str::<Data>("[mixture]\nspeed = 1\n").unwrap_err().to_string();
        assert!(unknown.contains("speed"), "{unknown}");
        assert!(toml::from_str::<Data>("mixture = 3").unwrap_err().to_string().contains("path of a file"));
    }
}
