//! Objects followed through videos.

use std::path::Path;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_core::Mask;
use strefer_nn::{Linear, ParamStore, linear};

use super::bank::{Bank, BankEntry, Direction};
use super::holes::fill_holes;
use super::mask_decoder::number;
use super::memory_attention::MemoryAttention;
use super::memory_encoder::MemoryEncoder;
use super::names::open_weights;
use super::session::{Follow, FrameMasks, Keep, Object, ObjectMask, Session};
use super::{ImageFeatures, Label, PromptPoint, Sam2, Sam2Config, VideoPrompt};
use crate::error::{Error, Result};
use crate::layers::{Filter, Mlp, PatchConv, resize, sine_grid};

/// The logit of every cell where the object is not to be seen.
const HIDDEN: f32 = -1024.0;

/// Logits fed back with a second prompt stay within this.
const LOGIT_LIMIT: f64 = 32.0;

/// Logits and score of a mask that was given: within minus and plus this.
const GIVEN: f64 = 10.0;

/// What the decoder says about one object on one frame.
struct Found {
    /// `(1, 1, h, w)`, low resolution
    logits: Tensor,
    /// `(1, d)`
    pointer: Tensor,
    object_score: f32,
}

/// SAM 2.1 with everything that follows objects. State lies in a [`Session`].
///
/// ```
/// use std::convert::Infallible;
///
/// use candle_core::{DType, Device, Tensor};
/// use strefer_nn::ParamStore;
/// use strefer_vision::sam2::{Pass, Prompt, Sam2Config, Sam2Video, Session, SessionOptions, VideoPrompt};
///
/// let mut cfg = Sam2Config::tiny();
/// cfg.prompt_encoder_config.image_size = 32;
/// let store = ParamStore::new(1, &Device::Cpu, DType::F32);
/// let model = Sam2Video::new(&cfg, store.var_builder())?;
/// let pixels = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?;
///
/// // A video of five frames of 30 by 40 pixels, and a box round an object on the second one.
/// let mut session = Session::new((30, 40), Some(5), SessionOptions::default());
/// let features = model.image().encode(&pixels)?;
/// let prompt = VideoPrompt::Points(Prompt::boxed([4.0, 5.0, 20.0, 18.0]));
/// model.prompt(&mut session, 1, &features, 7, &prompt)?;
/// let frames = |_frame_idx: usize| Ok::<_, Infallible>(Some(pixels.clone()));
/// for masks in model.propagate(&mut session, Pass::forward(), frames)? {
///     let masks = masks?;
///     assert_eq!(masks.objects[0].mask(30, 40)?.height(), 30);
/// }
/// # Ok::<(), strefer_vision::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sam2Video {
    pub(super) image: Sam2,
    pub(super) memory_attention: MemoryAttention,
    pub(super) memory_encoder: MemoryEncoder,
    /// `(frames, 1, 1, m)`, the youngest first, conditioning frames last
    pub(super) memory_temporal_positional_encoding: Tensor,
    object_pointer_proj: Mlp,
    pub(super) temporal_positional_encoding_projection_layer: Linear,
    mask_downsample: PatchConv,
    pub(super) no_object_pointer: Tensor,
    occlusion_spatial_embedding_parameter: Tensor,
    /// `(1, cells, d)`
    pub(super) top_positions: Tensor,
    /// `(1, cells, m)`
    pub(super) memory_positions: Tensor,
}

impl Sam2Video {
    /// Weights with canonical names lie directly below `vb`.
    pub fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        cfg.validate_video().map_err(|reason| Error::Config { origin: "sam2".to_owned(), reason })?;
        let (d, m) = (cfg.vision_config.fpn_hidden_size, cfg.memory_encoder_output_channels);
        let names = ["proj_in", "layers.0", "proj_out"].map(str::to_owned);
        let small = Init::Randn { mean: 0.0, stdev: 0.02 };
        let frames = (cfg.num_maskmem, 1, 1, m);
        let grid = cfg.grid();
        let positions = |c: usize| -> Result<Tensor> {
            Ok(sine_grid(grid, grid, c, 10000.0, vb.device())?.unsqueeze(0)?.to_dtype(vb.dtype())?)
        };
        Ok(Self {
            image: Sam2::new(cfg, vb.clone())?,
            memory_attention: MemoryAttention::new(cfg, vb.pp("memory_attention"))?,
            memory_encoder: MemoryEncoder::new(cfg, vb.pp("memory_encoder"))?,
            memory_temporal_positional_encoding: vb.get_with_hints(
                frames,
                "memory_temporal_positional_encoding",
                small,
            )?,
            object_pointer_proj: Mlp::relu(&[d; 4], &names, vb.pp("object_pointer_proj"))?,
            temporal_positional_encoding_projection_layer: linear(
                d,
                m,
                vb.pp("temporal_positional_encoding_projection_layer"),
            )?,
            mask_downsample: PatchConv::new(1, 1, 4, vb.pp("mask_downsample"))?,
            no_object_pointer: vb.get_with_hints((1, d), "no_object_pointer", small)?,
            occlusion_spatial_embedding_parameter: vb.get_with_hints(
                (1, m),
                "occlusion_spatial_embedding_parameter",
                small,
            )?,
            top_positions: positions(d)?,
            memory_positions: positions(m)?,
        })
    }

    /// Opens a folder or file of weights in either layout, with a `config.json` beside them or in one of the published
    /// sizes.
    pub fn open(path: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let (cfg, weights) = open_weights(path)?;
        let store = ParamStore::new(0, device, dtype).with_weights(weights);
        let model = Self::new(&cfg, store.var_builder())?;
        store.check_complete()?;
        Ok(model)
    }

    /// The part that looks at single images, which encodes frames, too.
    pub fn image(&self) -> &Sam2 {
        &self.image
    }

    /// Says something about an object, which may be new, on a frame whose features are given. Gives the object's mask there.
    ///
    /// On a frame where the object was found by tracking, the prompt corrects what was found, and only passes that start
    /// after that frame see it. On any other frame, also one of which nothing is remembered any more (see
    /// [`Keep`]), it becomes a condition for all passes, and stands for an earlier one.
    pub fn prompt(
        &self,
        session: &mut Session,
        frame_idx: usize,
        features: &ImageFeatures,
        object_id: u64,
        prompt: &VideoPrompt,
    ) -> Result<ObjectMask> {
        let bad = |reason: String| Error::Prompt { object_id, frame_idx, reason };
        if let Some(frames) = session.frames.filter(|frames| frame_idx >= *frames) {
            return Err(bad(format!("the video has {frames} frames")));
        }
        if let Some(problem) = self.problem(prompt, session.size) {
            return Err(bad(problem));
        }
        let known = session.objects.iter().position(|object| object.id == object_id);
        let empty = Bank::default();
        let bank = known.map_or(&empty, |at| &session.objects[at].bank);
        let corrected =
            if bank.conditioning.contains_key(&frame_idx) { None } else { bank.tracked.get(&frame_idx) };
        let direction = corrected.map_or(Direction::Forward, |entry| entry.direction);
        let corrects = corrected.is_some();
        let found = match prompt {
            VideoPrompt::Points(prompt) => {
                let top = if corrects {
                    self.remember(bank, frame_idx, features, direction, session.frames)?
                } else {
                    self.image.without_memory(features)?
                };
                let earlier = bank.entry(frame_idx).and_then(|entry| entry.logits.as_ref());
                let earlier = earlier.filter(|_| session.options.follow == Follow::Original);
                let earlier = earlier.map(|logits| logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)).transpose()?;
                let points = prompt.points(session.size, self.image.image_size());
                let several = self.several(prompt.given(), corrects);
                self.find(features, &top, points, earlier.as_ref(), several)?
            }
            VideoPrompt::Mask(mask) => self.given(features, mask, session.options.follow)?,
        };
        let found = Found { logits: filled(&found.logits, session.options.fill_holes)?, ..found };
        let shown = match (prompt, session.options.follow) {
            (VideoPrompt::Mask(mask), Follow::Transformers) => self.model_mask(mask)?,
            _ => self.large(&found.logits)?.gt(0f32)?.to_dtype(DType::F32)?,
        };
        let memory = self.encode_memory(features, &shown, found.object_score)?;
        let mask = object_mask(object_id, &found)?;
        let entry = self.entry(found, memory, direction, session)?;
        let at = known.unwrap_or_else(|| {
            session.objects.push(Object { id: object_id, bank: Bank::default() });
            session.objects.len() - 1
        });
        let bank = &mut session.objects[at].bank;
        if corrects {
            bank.tracked.insert(frame_idx, entry);
        } else {
            bank.conditioning.insert(frame_idx, entry);
        }
        Ok(mask)
    }

    /// Finds all objects on a frame, whose features are given, and remembers what it found. On frames with a prompt that is
    /// what the prompt gave; `features` may be missing where every object has one.
    pub fn track(
        &self,
        session: &mut Session,
        frame_idx: usize,
        features: Option<&ImageFeatures>,
        direction: Direction,
    ) -> Result<FrameMasks> {
        if session.objects.is_empty() {
            return Err(Error::NothingToTrack);
        }
        let mut objects = Vec::with_capacity(session.objects.len());
        let anchors = session.anchors(frame_idx);
        for at in 0..session.objects.len() {
            let Object { id, bank } = &session.objects[at];
            let id = *id;
            if let Some(BankEntry { logits: Some(logits), object_score, .. }) =
                bank.conditioning.get(&frame_idx)
            {
                objects.push(ObjectMask {
                    object_id: id,
                    logits: logits.clone(),
                    object_score: *object_score,
                });
                continue;
            }
            let Some(features) = features else {
                return Err(Error::input(format!(
                    "tracking frame {frame_idx} needs the features of that frame"
                )));
            };
            let top = self.remember(bank, frame_idx, features, direction, session.frames)?;
            let nowhere = vec![PromptPoint { xy: [0.0; 2], label: Label::Nothing }];
            let found = self.find(features, &top, nowhere, None, self.several(0, true))?;
            let shown = candle_nn::ops::sigmoid(&self.large(&found.logits)?)?;
            let memory = self.encode_memory(features, &shown, found.object_score)?;
            // Memory is that of the mask as it was found; what is shown has its holes closed.
            let found = Found { logits: filled(&found.logits, session.options.fill_holes)?, ..found };
            objects.push(object_mask(id, &found)?);
            let entry = self.entry(found, memory, direction, session)?;
            let reach = self.reach(session.frames);
            let bank = &mut session.objects[at].bank;
            bank.tracked.insert(frame_idx, entry);
            if session.options.keep == Keep::Near {
                bank.forget(&anchors, reach);
            }
        }
        Ok(FrameMasks { frame_idx, objects })
    }

    /// What makes no sense about a prompt.
    fn problem(&self, prompt: &VideoPrompt, (height, width): (usize, usize)) -> Option<String> {
        match prompt {
            VideoPrompt::Points(prompt) if prompt.given() == 0 => {
                Some("it holds neither clicks nor a box".to_owned())
            }
            VideoPrompt::Points(prompt) => prompt.problem(),
            VideoPrompt::Mask(mask) if (mask.height(), mask.width()) != (height, width) => {
                Some(format!("the mask is {}x{}, the video {height}x{width}", mask.height(), mask.width()))
            }
            VideoPrompt::Mask(_) => None,
        }
    }

    /// Whether several masks are made, of which the best is taken.
    fn several(&self, points: usize, tracking: bool) -> bool {
        let cfg = self.image.config();
        cfg.multimask_output_in_sam
            && (!tracking || cfg.multimask_output_for_tracking)
            && (cfg.multimask_min_pt_num..=cfg.multimask_max_pt_num).contains(&points)
    }

    /// Asks the decoder. `earlier` are logits `(1, h, w)`.
    fn find(
        &self,
        features: &ImageFeatures,
        top: &Tensor,
        points: Vec<PromptPoint>,
        earlier: Option<&Tensor>,
        several: bool,
    ) -> Result<Found> {
        let (sparse, dense) = self.image.embed_prompts(&[points], earlier)?;
        let decoded = self.image.decode(features, top, &sparse, &dense)?;
        let object_score = number(&decoded.object_score)?;
        let chosen = decoded.choose(several, &self.image.config().mask_decoder_config)?;
        let chosen = if several { chosen.best()? } else { chosen };
        if object_score <= 0.0 {
            let hidden = Tensor::full(HIDDEN, chosen.masks.shape(), chosen.masks.device())?;
            let logits = hidden.to_dtype(chosen.masks.dtype())?;
            return Ok(Found { logits, pointer: self.no_object_pointer.clone(), object_score });
        }
        let pointer = self.object_pointer_proj.forward(&chosen.mask_tokens.squeeze(1)?)?;
        Ok(Found { logits: chosen.masks, pointer, object_score })
    }

    /// Takes a mask that a person gave for the answer. Its pointer is what the decoder makes of it.
    fn given(&self, features: &ImageFeatures, mask: &Mask, follow: Follow) -> Result<Found> {
        let model_mask = self.model_mask(mask)?; // (1, 1, s, s)
        let side = self.image.image_size();
        let logits = ((&model_mask * (2.0 * GIVEN))? - GIVEN)?;
        let logits = resize(&logits, (side / 4, side / 4), Filter::Antialias)?;
        let small = model_mask.to_dtype(features.top.dtype())?.reshape((1, side, side, 1))?;
        let small = small.apply(&self.mask_downsample)?.squeeze(3)?;
        let nothing = vec![PromptPoint { xy: [0.0; 2], label: Label::Nothing }];
        let several = follow == Follow::Transformers;
        let found = self.find(features, &features.top, nothing, Some(&small), several)?;
        let there = model_mask.max_all()?.to_scalar::<f32>()? > 0.0;
        let logits = logits.to_device(features.top.device())?;
        Ok(if there {
            Found { logits, pointer: found.pointer, object_score: GIVEN as f32 }
        } else {
            Found { logits, pointer: self.no_object_pointer.clone(), object_score: -GIVEN as f32 }
        })
    }

    /// A mask in the size of the model's images, 0 or 1: `(1, 1, s, s)`, f32.
    fn model_mask(&self, mask: &Mask) -> Result<Tensor> {
        let side = self.image.image_size();
        let values = Tensor::from_iter(mask.as_slice().iter().map(|cell| f32::from(*cell)), &Device::Cpu)?;
        let values = values.reshape((1, 1, mask.height(), mask.width()))?;
        let resized = resize(&values, (side, side), Filter::Antialias)?;
        Ok(resized.ge(0.5f32)?.to_dtype(DType::F32)?.to_device(self.no_object_pointer.device())?)
    }

    /// Low-resolution logits in the size of the model's images, `(1, 1, s, s)`.
    fn large(&self, logits: &Tensor) -> Result<Tensor> {
        let side = self.image.image_size();
        Ok(resize(logits, (side, side), Filter::Linear)?)
    }

    /// The memory of a frame and the share of each pixel that belongs to the object: `(1, 1, s, s)` → `(1, cells, m)`.
    fn encode_memory(&self, features: &ImageFeatures, shown: &Tensor, object_score: f32) -> Result<Tensor> {
        let cfg = self.image.config();
        let mask = ((shown * cfg.sigmoid_scale_for_mem_enc)? + cfg.sigmoid_bias_for_mem_enc)?;
        let mask = mask.to_device(features.top.device())?.to_dtype(features.top.dtype())?;
        let memory = self.memory_encoder.forward(&features.top, &mask)?;
        if object_score > 0.0 {
            return Ok(memory);
        }
        Ok(memory.broadcast_add(&self.occlusion_spatial_embedding_parameter)?)
    }

    fn entry(
        &self,
        found: Found,
        memory: Tensor,
        direction: Direction,
        session: &Session,
    ) -> Result<BankEntry> {
        let memory = if session.options.half_memory { memory.to_dtype(DType::BF16)? } else { memory };
        Ok(BankEntry {
            logits: Some(found.logits.squeeze(0)?.detach()),
            memory: Some(memory.detach()),
            pointer: found.pointer.detach(),
            object_score: found.object_score,
            direction,
        })
    }
}

fn object_mask(object_id: u64, found: &Found) -> Result<ObjectMask> {
    Ok(ObjectMask { object_id, logits: found.logits.squeeze(0)?, object_score: found.object_score })
}

/// Logits `(1, 1, h, w)` with small holes closed.
fn filled(logits: &Tensor, area: usize) -> Result<Tensor> {
    if area == 0 {
        return Ok(logits.clone());
    }
    let (_, _, _, w) = logits.dims4()?;
    let mut values = logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    fill_holes(&mut values, w, area);
    Ok(Tensor::from_vec(values, logits.shape(), logits.device())?.to_dtype(logits.dtype())?)
}
