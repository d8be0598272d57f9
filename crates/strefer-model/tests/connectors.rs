//! A Video LLM with each of the connectors: from frames and text to a loss whose gradient reaches the connector.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use strefer_llm::DecoderConfig;
use strefer_model::config::{ChatPreset, ModelType, TokenIds, VisionConfig};
use strefer_model::connector::{
    Connector, ConnectorConfig, GttmConfig, MlpConfig, Newline, PerceiverConfig, StcConfig,
};
use strefer_model::preset::fresh_weights;
use strefer_model::region::{MaskPlace, RegionConfig, RegionRows};
use strefer_model::time::TimeConfig;
use strefer_model::{Inputs, PromptToken, VideoLlm, VideoLlmConfig, prefix};
use strefer_nn::testing::{assert_all_grads, assert_close, device, randn, values};
use strefer_nn::{Declared, ParamStore, Weights};
use strefer_vision::siglip::{FeatureLayer, SiglipConfig};

/// Every connector in small, and the tokens it makes of four frames of 4 by 4 patches.
fn kinds() -> [(&'static str, ConnectorConfig, usize); 5] {
    let temporal = Some(GttmConfig { memory: 2, layers: 1, heads: 2 });
    let perceiver = PerceiverConfig { layers: 2, heads: 2, head_dim: 6, latents: 5, temporal: None };
    [
        ("mlp", ConnectorConfig::Mlp(MlpConfig { pooled_side: 2, newline: Newline::OneToken }), 17),
        ("perceiver", ConnectorConfig::Perceiver(perceiver), 20),
        ("perceiver + gttm", ConnectorConfig::Perceiver(PerceiverConfig { temporal, ..perceiver }), 5),
        ("stc v3.5", ConnectorConfig::Stc(StcConfig { blocks: 2, ..StcConfig::V35 }), 8),
        ("stc", ConnectorConfig::Stc(StcConfig { blocks: 1, ..StcConfig::PLAIN }), 27),
    ]
}

const FRAMES: &str = r#"{"count":4,"rule":"linspace_trunc","fit":"stretch","region_fit":"stretch"}"#;

fn config(connector: ConnectorConfig) -> VideoLlmConfig {
    VideoLlmConfig {
        model_type: ModelType::Strefer,
        frames: serde_json::from_str(FRAMES).unwrap(),
        vision: VisionConfig {
            siglip: SiglipConfig {
                hidden_size: 12,
                intermediate_size: 16,
                num_hidden_layers: 1,
                num_attention_heads: 2,
                image_size: 16,
                patch_size: 4,
                ..SiglipConfig::tiny()
            },
            feature: FeatureLayer::LastNormed,
        },
        connector,
        tiles: None,
        region: Some(RegionConfig { max_tokens: 2, place: true, outline: true }),
        time: TimeConfig::Text,
        llm: DecoderConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            ..DecoderConfig::tiny(20)
        },
        chat: ChatPreset::Qwen2,
        tokens: TokenIds { video: 17, region: Some(18), first_time: None, pad: 0, eos: vec![19] },
        max_text_tokens: 64,
    }
}

/// A question about an object of one of four frames, and its answer.
fn inputs(seed: u64, region: bool) -> Inputs {
    use PromptToken::{Region, Text, Video};
    let mut tokens = vec![Text(1), Video, Text(2)];
    let mut regions = Vec::new();
    if region {
        tokens.push(Region(0));
        let grid_mask = (0..16).map(|patch| f32::from(u8::from(patch % 3 == 0))).collect();
        regions.push(RegionRows {
            rows: vec![2],
            grid_masks: vec![grid_mask],
            places: vec![MaskPlace { bbox: [0.5; 4], time: 0.5, ..MaskPlace::default() }],
        });
    }
    let mut labels = vec![strefer_model::IGNORE; tokens.len()];
    for answer in [5 + seed as u32, 19] {
        tokens.push(Text(answer));
        labels.push(i64::from(answer));
    }
    Inputs {
        id: format!("sample {seed}"),
        frames: randn(seed, &[4, 3, 16, 16]),
        shown: (0..4).collect(),
        tiling: None,
        regions,
        tokens,
        labels,
        turns: Vec::new(),
        frame_indices: vec![0, 1, 2, 3],
        duration_s: 4.0,
    }
}

fn model(cfg: &VideoLlmConfig, trainable: &'static str) -> Result<(ParamStore, VideoLlm)> {
    let store =
        ParamStore::new(5, device(), DType::F32).trainable(move |name: &str| name.starts_with(trainable));
    let model = VideoLlm::new(cfg, store.var_builder())?;
    Ok((store, model))
}

#[test]
fn video_tokens_of_each_connector_stand_in_the_prompt() -> Result<()> {
    for (name, connector, count) in kinds() {
        let cfg = config(connector);
        cfg.validate().unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!(connector.token_count(4, 4), count, "{name}");
        let (_, model) = model(&cfg, "nothing")?;
        let spliced = model.splice(&[inputs(1, true), inputs(2, false)])?;
        // Two words, a region of one mask and the answer; the other row has no region.
        assert_eq!(
            spliced.places.iter().map(|place| place.len).collect::<Vec<_>>(),
            [count + 5, count + 4],
            "{name}"
        );
        assert_eq!(model.forward(&spliced)?.dims3()?, (2, count + 5, 16), "{name}");
    }
    Ok(())
}

#[test]
fn the_loss_teaches_each_connector() -> Result<()> {
    for (name, connector, _) in kinds() {
        let (store, model) = model(&config(connector), prefix::CONNECTOR)?;
        let batch = [inputs(1, true), inputs(2, false)];
        let loss = || -> Result<Tensor> { Ok(model.loss(&batch)?.0) };
        let before = loss()?;
        let grads = before.backward()?;
        assert_all_grads(&store.vars(), &grads);
        let vars = store.vars();
        let square: f64 =
            vars.values().flat_map(|var| values(grads.get(var).expect("checked above"))).map(|x| x * x).sum();
        for var in vars.values() {
            let grad = grads.get(var).expect("checked above");
            var.set(&(var.as_tensor() - (grad * (0.05 / square.sqrt()))?)?)?;
        }
        let (before, after) = (before.to_scalar::<f32>()?, loss()?.to_scalar::<f32>()?);
        assert!(after.is_finite() && after < before, "{name}: {before} before a step, {after} after it");
    }
    Ok(())
}

#[test]
fn gradients_pass_each_connector_to_the_vision_tower() -> Result<()> {
    for (name, connector, _) in kinds() {
        let (store, model) = model(&config(connector), prefix::VISION)?;
        let grads = model.loss(&[inputs(2, false)])?.0.backward()?;
        let vars = store.vars();
        let (_, patches) =
            vars.iter().find(|(name, _)| name.ends_with("patch_embedding.weight")).expect("an embedding");
        let grad = grads.get(patches).unwrap_or_else(|| panic!("{name}: no gradient"));
        assert!(values(grad).iter().any(|x| *x != 0.0), "{name}");
    }
    Ok(())
}

#[test]
fn a_batch_equals_its_rows_with_each_connector() -> Result<()> {
    for (_, connector, count) in kinds() {
        let (_, model) = model(&config(connector), "nothing")?;
        let rows = [inputs(1, true), inputs(2, false)];
        let whole = model.splice(&rows)?.embeds;
        for (row, inputs) in rows.iter().enumerate() {
            let alone = model.splice(std::slice::from_ref(inputs))?.embeds;
            let same = whole.narrow(0, row, 1)?.narrow(1, 0, alone.dim(1)?)?;
            assert!(alone.dim(1)? > count);
            assert_close(&alone, &same, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn configurations_survive_the_file() {
    for (_, connector, _) in kinds() {
        let cfg = config(connector);
        let text = serde_json::to_string_pretty(&cfg).unwrap();
        assert_eq!(serde_json::from_str::<VideoLlmConfig>(&text).unwrap(), cfg);
    }
}

#[test]
fn saved_weights_have_all_names_and_no_others() {
    for (name, connector, _) in kinds() {
        let cfg = config(connector);
        let weights = Weights::from_tensors(name, fresh_weights(&cfg, 7).unwrap());
        let store = ParamStore::new(0, device(), DType::F32).with_weights(weights);
        VideoLlm::new(&cfg, store.var_builder()).unwrap();
        store.check_complete().unwrap();
    }
}

#[test]
fn configurations_of_the_repository_are_read() {
    fn find(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                find(&entry, found);
            } else if entry.ends_with("config.json") {
                found.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints"), &mut found);
    assert!(!found.is_empty());
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let cfg: VideoLlmConfig =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        cfg.validate().unwrap_or_else(|reason| panic!("{}: {reason}", path.display()));
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |connector| config(connector).validate().is_err();
    let perceiver = PerceiverConfig { layers: 1, heads: 2, head_dim: 6, latents: 5, temporal: None };
    assert!(refused(ConnectorConfig::Mlp(MlpConfig { pooled_side: 5, newline: Newline::NoToken })));
    assert!(refused(ConnectorConfig::Perceiver(PerceiverConfig { latents: 0, ..perceiver })));
    // Twelve numbers cannot be shared among five heads.
    let temporal = Some(GttmConfig { memory: 2, layers: 1, heads: 5 });
    assert!(refused(ConnectorConfig::Perceiver(PerceiverConfig { temporal, ..perceiver })));
    assert!(refused(ConnectorConfig::Stc(StcConfig { blocks: 0, sampler_padding: 0 })));
    let mut one_frame = config(ConnectorConfig::Stc(StcConfig::V35));
    one_frame.frames.count = 1;
    assert!(one_frame.validate().is_err());
}

fn published(cfg: ConnectorConfig, text_dim: usize) -> Result<BTreeMap<String, Vec<usize>>> {
    let declared = Declared::default();
    Connector::new(&cfg, 1152, text_dim, declared.var_builder())?;
    Ok(declared.shapes())
}

#[test]
fn published_sizes_have_the_published_parameters() -> Result<()> {
    let stc = published(ConnectorConfig::Stc(StcConfig::V35), 3584)?;
    // Counted on the reference.
    assert_eq!(stc.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>(), 376_889_248);
    assert_eq!(stc["s1.b1.se.fc1.weight"], [288, 3584, 1, 1]);
    assert_eq!(stc["s2.b4.se.fc1.weight"], [896, 3584, 1, 1]);
    assert_eq!(stc["sampler.0.weight"], [3584, 3584, 2, 2, 2]);

    let perceiver = published(ConnectorConfig::Perceiver(PerceiverConfig::STREFER), 3072)?;
    for (name, shape) in [
        ("latents", &[128, 1152][..]),
        ("layers.5.0.to_q.weight", &[1536, 1152]),
        ("layers.5.0.to_kv.weight", &[3072, 1152]),
        ("layers.5.0.to_out.weight", &[1152, 1536]),
        ("layers.5.1.1.weight", &[4608, 1152]),
        ("temporal_encoder.initial_memory", &[128, 4, 1152]),
        ("temporal_encoder.ttm_unit.process_layers.3.0.to_q.weight", &[1152, 1152]),
        ("temporal_encoder.ttm_unit.write_layer.mlp.1.weight", &[8, 1152]),
        ("temporal_encoder.ttm_unit.write_layer.mlp.3.weight", &[4, 8]),
        ("projection.weight", &[3072, 1152]),
    ] {
        assert_eq!(perceiver[name], shape, "{name}");
    }
    assert!(!perceiver.keys().any(|name| name.contains("layers.6") || name.contains("process_layers.4")));
    Ok(())
}
