//! SAM 2.1: the image encoder, the attention to memory, and an object followed through a video.

use anyhow::Result;
use candle_core::Tensor;
use serde::Deserialize;
use strefer_vision::sam2::{
    Memory, Pass, Prompt, Sam2, Sam2Config, Sam2Video, Session, SessionOptions, VideoPrompt,
};

use super::{Place, Prepared, parameters};

/// Height and width of videos.
const VIDEO: (usize, usize) = (720, 1280);

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Size {
    Tiny,
    Large,
    /// A small network of no published size.
    Small,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sam {
    size: Size,
    /// Of a video.
    #[serde(default)]
    frames: usize,
    /// Maps that are remembered.
    #[serde(default)]
    memories: usize,
    /// Object pointers that are remembered.
    #[serde(default)]
    pointers: usize,
}

impl Sam {
    fn config(&self) -> Sam2Config {
        match self.size {
            Size::Tiny => Sam2Config::tiny(),
            Size::Large => Sam2Config::large(),
            Size::Small => {
                let mut cfg = Sam2Config::tiny();
                cfg.vision_config.backbone_config.embed_dim_per_stage = vec![8, 16, 32, 64];
                cfg.prompt_encoder_config.image_size = 64;
                cfg.memory_attention_num_layers = 1;
                cfg
            }
        }
    }

    fn pixels(place: &Place, side: usize) -> Result<Tensor> {
        Ok(place.uniform(-2.0, 2.0, (1, 3, side, side))?)
    }

    /// One image through the encoder.
    pub(super) fn prepare_image(&self, place: &Place) -> Result<Prepared> {
        let store = place.store();
        let model = Sam2::new(&self.config(), store.var_builder())?;
        let pixels = Self::pixels(place, model.image_size())?;
        let parameters = parameters(&store);
        let work = move || {
            model.encode(&pixels)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }

    /// One map that looks at memory.
    pub(super) fn prepare_memory(&self, place: &Place) -> Result<Prepared> {
        let store = place.store();
        let cfg = self.config();
        let model = Sam2Video::new(&cfg, store.var_builder())?;
        let (cells, d) = (cfg.grid() * cfg.grid(), cfg.memory_attention_hidden_size);
        let m = cfg.memory_encoder_output_channels;
        let normal = |shape: (usize, usize, usize)| place.normal(shape);
        let (top, positions) = (normal((1, cells, d))?, normal((1, cells, d))?);
        let pointers = self.pointers * (d / m);
        let t = self.memories * cells + pointers;
        let memory = Memory { tokens: normal((1, t, m))?, positions: normal((1, t, m))?, pointers };
        let work = move || {
            model.condition(&top, &positions, &memory)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: parameters(&store) })
    }

    /// An object behind a box, followed through a video whose frames come one at a time.
    pub(super) fn prepare_video(&self, place: &Place) -> Result<Prepared> {
        let store = place.store();
        let model = Sam2Video::new(&self.config(), store.var_builder())?;
        let parameters = parameters(&store);
        let (frames, side) = (self.frames, model.image().image_size());
        let pixels = Self::pixels(place, side)?;
        let work = move || {
            let mut session = Session::new(VIDEO, Some(frames), SessionOptions::default());
            let area = Prompt { area: Some([300.0, 200.0, 700.0, 600.0]), ..Prompt::default() };
            let features = model.image().encode(&pixels)?;
            model.prompt(&mut session, 0, &features, 1, &VideoPrompt::Points(area))?;
            // Other pixels each time, without drawing them anew.
            let frame = |at: usize| -> candle_core::Result<Option<Tensor>> {
                Ok(Some(pixels.affine(1.0 - 0.01 * (at % 20) as f64, 0.0)?))
            };
            let mut seen = 0;
            for found in model.propagate(&mut session, Pass::forward(), frame)? {
                seen += found?.objects.len();
            }
            anyhow::ensure!(seen == frames, "{seen} masks on {frames} frames");
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}
