//! Which connector: as data, and as a part of the model.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MlpConfig, MlpConnector, Newline, Perceiver, PerceiverConfig, Stc, StcConfig};
use crate::tiles::Tiling;

/// A connector of one kind. In `config.json` the field `kind` tells which; without it, the MLP is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", remote = "Self")]
pub enum ConnectorConfig {
    /// Two-layer MLP and bilinear pooling.
    Mlp(MlpConfig),
    /// Perceiver resampler, with or without a Grouped Token Turing Machine behind it.
    Perceiver(PerceiverConfig),
    /// Spatial-temporal convolution, v3.5 or plain.
    Stc(StcConfig),
}

impl Serialize for ConnectorConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ConnectorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        // Written before there was a second kind.
        fields.entry("kind").or_insert_with(|| "mlp".into());
        Self::deserialize(serde_json::Value::Object(fields)).map_err(D::Error::custom)
    }
}

impl ConnectorConfig {
    /// Tokens of one video of `t` frames of `side` by `side` patches.
    pub fn token_count(&self, t: usize, side: usize) -> usize {
        match self {
            Self::Mlp(cfg) => cfg.token_count(t),
            Self::Perceiver(cfg) => cfg.token_count(t),
            Self::Stc(cfg) => cfg.token_count(t, side),
        }
    }

    /// Whether images can be shown in tiles.
    pub fn takes_tiles(&self) -> bool {
        matches!(self, Self::Mlp(cfg) if cfg.newline != Newline::NoToken)
    }

    /// Rejects what cannot be built, or has nothing to say about `t` frames of `side` by `side` patches.
    pub fn validate(&self, t: usize, side: usize, vision_dim: usize) -> std::result::Result<(), String> {
        match self {
            Self::Mlp(cfg) => cfg.validate(side),
            Self::Perceiver(cfg) => cfg.validate(vision_dim),
            Self::Stc(cfg) => cfg.validate(t, side),
        }
    }
}

/// Maps the patch features of a video to tokens of the language model.
#[derive(Debug, Clone)]
pub enum Connector {
    /// Frame by frame, patch by patch.
    Mlp(MlpConnector),
    /// Latents that ask every frame, and may remember.
    Perceiver(Perceiver),
    /// Convolutions over rows, columns and time.
    Stc(Stc),
}

impl Connector {
    /// Parameters below `vb`, with the names that the kind's reference gives them.
    pub fn new(cfg: &ConnectorConfig, vision_dim: usize, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(match cfg {
            ConnectorConfig::Mlp(cfg) => Self::Mlp(MlpConnector::new(cfg, vision_dim, text_dim, vb)?),
            ConnectorConfig::Perceiver(cfg) => {
                Self::Perceiver(Perceiver::new(cfg, vision_dim, text_dim, vb)?)
            }
            ConnectorConfig::Stc(cfg) => Self::Stc(Stc::new(cfg, vision_dim, text_dim, vb)?),
        })
    }

    /// Tokens of `b` videos of equally many frames.
    ///
    /// # Shapes
    /// - `feats`: `(b, t, n, dv)`, `n` patches, rows first; a square number for all kinds but the Perceiver
    /// - returns: `(b, tokens, d)`
    pub fn forward(&self, feats: &Tensor) -> Result<Tensor> {
        match self {
            Self::Mlp(connector) => connector.forward(feats),
            Self::Perceiver(connector) => connector.forward(feats),
            Self::Stc(connector) => {
                let (b, t, n, dv) = feats.dims4()?;
                let side = square_side(n)?;
                connector.forward(&feats.reshape((b, t, side, side, dv))?)
            }
        }
    }

    /// Tokens of one image that was cut into tiles, see [`MlpConnector::forward_tiles`].
    pub fn forward_tiles(&self, feats: &Tensor, tiling: &Tiling) -> Result<Tensor> {
        match self {
            Self::Mlp(connector) => connector.forward_tiles(feats, tiling),
            Self::Perceiver(_) | Self::Stc(_) => bail!("this connector takes no tiles"),
        }
    }
}

/// Side of a square grid of `n` patches.
pub(super) fn square_side(n: usize) -> Result<usize> {
    let side = n.isqrt();
    if side * side != n {
        bail!("{n} patches are not a square grid");
    }
    Ok(side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::GttmConfig;

    fn parse(text: &str) -> serde_json::Result<ConnectorConfig> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_connector_without_a_kind_is_the_mlp() {
        let mlp = ConnectorConfig::Mlp(MlpConfig { pooled_side: 4, newline: Newline::Frame });
        assert_eq!(parse(r#"{"pooled_side":4,"newline":"frame"}"#).unwrap(), mlp);
        assert_eq!(parse(r#"{"kind":"mlp","pooled_side":4,"newline":"frame"}"#).unwrap(), mlp);
    }

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        let temporal = Some(GttmConfig { memory: 4, layers: 1, heads: 2 });
        for cfg in [
            ConnectorConfig::Mlp(MlpConfig { pooled_side: 14, newline: Newline::OneToken }),
            ConnectorConfig::Perceiver(PerceiverConfig { temporal: None, ..PerceiverConfig::STREFER }),
            ConnectorConfig::Perceiver(PerceiverConfig { temporal, ..PerceiverConfig::STREFER }),
            ConnectorConfig::Stc(StcConfig::V35),
            ConnectorConfig::Stc(StcConfig::PLAIN),
        ] {
            assert_eq!(parse(&serde_json::to_string(&cfg).unwrap()).unwrap(), cfg);
        }
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        assert!(parse(r#"{"kind":"q_former","pooled_side":4,"newline":"frame"}"#).is_err());
        assert!(parse(r#"{"kind":"stc","blocks":4,"sampler_padding":0,"pooled_side":4}"#).is_err());
        assert!(parse(r#"{"pooled_side":4,"newline":"frame","blocks":4}"#).is_err());
    }

    #[test]
    fn published_connectors_make_the_published_numbers_of_tokens() {
        let strefer = ConnectorConfig::Perceiver(PerceiverConfig::STREFER);
        assert_eq!(strefer.token_count(32, 27), 128);
        let v35 = ConnectorConfig::Stc(StcConfig::V35);
        assert_eq!([8, 16, 32].map(|t| v35.token_count(t, 27)), [676, 1352, 2704]);
        assert!(v35.validate(8, 27, 1152).is_ok() && v35.validate(1, 27, 1152).is_err());
        assert!(ConnectorConfig::Stc(StcConfig::PLAIN).validate(1, 27, 1152).is_ok());
        assert!(strefer.validate(32, 27, 1152).is_ok() && strefer.validate(32, 27, 1150).is_err());
    }
}
