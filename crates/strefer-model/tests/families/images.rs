//! Still images of LLaVA-OneVision: cut as the reference cuts them, shown beside videos, and refused where they cannot be
//! cut.

use std::path::Path;

use image::RgbImage;
use serde_json::json;
use strefer_core::sample::{Media, MediaKind, Role, Sample};
use strefer_llm::GenerationConfig;
use strefer_model::question::Question;
use strefer_model::tiles::TilesConfig;
use strefer_model::{Error, Inputs, Loaded, PromptToken, Purpose, VideoLlmConfig};
use strefer_nn::testing::{assert_close, max_abs_diff};
use strefer_video::{Limits, VideoSource};

use super::llava_onevision::{Recording, recordings};
use super::place::{json_file, own_golden};
use super::{Any, strefer, videorefer};

/// A byte is normalised to within the last bits of an f32 near one.
const ROUNDING: f64 = 2e-7;

/// One of 255 levels. Both resize bytes with the same weights, but the recorded version of Pillow takes the columns of tall
/// pictures first when it shrinks them, ours always takes the rows: rounding between the passes differs.
const ONE_LEVEL: f64 = 2.0 / 255.0 + ROUNDING;

fn recording() -> Recording {
    recordings().remove(0)
}

fn write_image(dir: &Path, width: u32, height: u32) -> String {
    let pixel = |x: u32, y: u32| image::Rgb([(5 * x) as u8, (3 * y) as u8, (x * y) as u8]);
    let path = dir.join(format!("{width}x{height}.png"));
    RgbImage::from_fn(width, height, pixel).save(&path).unwrap();
    path.to_string_lossy().into_owned()
}

fn process(loaded: &Loaded, uris: &[&str], kind: MediaKind) -> strefer_model::Result<Inputs> {
    let media = uris.iter().map(|uri| Media { kind, uri: (*uri).to_owned(), segment: None, size: None });
    let mut sample = Sample::new("seen", "seen", media.collect());
    sample.say(Role::User, "<image>\nw3 w5");
    loaded.processor.process(&sample, &Purpose::Infer)
}

#[test]
fn images_are_cut_as_the_reference_cuts_them() -> Any {
    let recording = recording();
    let loaded = recording.place.load()?;
    let cfg = loaded.processor.config();
    let dir = tempfile::tempdir()?;
    for images in recording.images() {
        for (row, tiling) in images.tilings(cfg).into_iter().enumerate() {
            let image = images.golden.tensor(&format!("in.image.{row}"));
            let (height, width, _) = image.dims3()?;
            let path = dir.path().join(format!("{}-{row}.png", images.name));
            RgbImage::from_raw(width as u32, height as u32, image.flatten_all()?.to_vec1()?)
                .unwrap()
                .save(&path)?;
            let inputs = process(&loaded, &[path.to_str().unwrap()], MediaKind::Image)?;
            assert_eq!(inputs.tiling, Some(tiling));
            assert_eq!(inputs.shown.len(), 1 + tiling.rows * tiling.columns);
            let recorded = images.pixels(row, &tiling);
            assert_eq!(inputs.frames.dims(), recorded.dims());
            for picture in 0..inputs.shown.len() {
                let diff = max_abs_diff(&inputs.frames.get(picture)?, &recorded.get(picture)?);
                let allowed = if picture == 0 && height > width { ONE_LEVEL } else { ROUNDING };
                assert!(diff <= allowed, "{}, row {row}, picture {picture}: {diff:e}", images.name);
            }
            let counts = loaded.model.encode(std::slice::from_ref(&inputs))?.video_counts;
            assert_eq!(counts, [inputs.video_tokens(cfg)]);
        }
    }
    Ok(())
}

#[test]
fn images_of_any_size_have_the_references_resolution_and_tokens() {
    let published = TilesConfig::up_to_six(384, Some(9));
    let listed = json_file(&own_golden("llava_onevision").join("tilings.json"));
    let listed: Vec<[usize; 5]> = serde_json::from_value(listed).unwrap();
    assert!(listed.len() > 50);
    for [height, width, target_height, target_width, tokens] in listed {
        let tiling = published.tiling(height, width, 384, 27).unwrap();
        let resolution = (384 * tiling.rows, 384 * tiling.columns);
        assert_eq!(resolution, (target_height, target_width), "{height}x{width}");
        assert_eq!(tiling.token_count(27), tokens, "{height}x{width}");
    }
}

#[test]
fn an_image_beside_videos_has_the_tokens_it_has_alone() -> Any {
    let loaded = recording().place.load()?;
    let dir = tempfile::tempdir()?;
    let paths = [(30, 20), (9, 70), (30, 20)].map(|(width, height)| write_image(dir.path(), width, height));
    let kinds = [MediaKind::Image, MediaKind::Image, MediaKind::Video];
    let batch: Vec<Inputs> = paths
        .iter()
        .zip(kinds)
        .map(|(path, kind)| process(&loaded, &[path], kind))
        .collect::<Result<_, _>>()?;
    assert_eq!(batch[2].tiling, None);
    let together = loaded.model.encode(&batch)?;
    let mut first = 0;
    for (inputs, count) in batch.iter().zip(together.video_counts) {
        let alone = loaded.model.encode(std::slice::from_ref(inputs))?;
        assert_close(&together.videos.narrow(0, first, count)?, &alone.videos, 1e-5);
        first += count;
    }
    Ok(())
}

#[test]
fn a_question_about_an_image_is_answered() -> Any {
    let loaded = recording().place.load()?;
    let dir = tempfile::tempdir()?;
    let path = write_image(dir.path(), 50, 20);
    let info = VideoSource::open(&path, &Limits::default())?.info().clone();
    let (id, text) = ("question".to_owned(), "w3 w5".to_owned());
    let question = Question { id, video: path.into(), text, marks: Vec::new(), times_s: Vec::new() };
    let inputs = loaded.processor.process(&question.to_sample(&info)?, &Purpose::Infer)?;
    assert!(inputs.tiling.is_some());
    assert_eq!(inputs.tokens.iter().filter(|token| **token == PromptToken::Video).count(), 1);
    let cfg = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
    let ids = loaded.model.generate(&inputs, &cfg, |_| std::ops::ControlFlow::Continue(()))?;
    assert_eq!(ids.len(), 3);
    Ok(())
}

#[test]
fn only_this_family_cuts_images_and_its_configuration_says_so() -> Any {
    let config = recording().place.open()?.config;
    let written = serde_json::to_value(&config)?;
    assert_eq!(written["tiles"]["most"], 9);
    assert_eq!(written["tiles"]["pinpoints"][1], json!([22, 44]));
    assert_eq!(serde_json::from_value::<VideoLlmConfig>(written)?, config);
    for place in [strefer::recordings().remove(0).place, videorefer::recordings().remove(0).place] {
        assert_eq!(serde_json::to_value(place.open()?.config)?.get("tiles"), None);
    }
    Ok(())
}

#[test]
fn resolutions_that_are_no_tiles_are_refused_by_file() {
    for (key, value, named) in [
        ("image_grid_pinpoints", json!([]), "tiles.pinpoints is empty"),
        ("image_grid_pinpoints", json!([[22, 22], [22, 45]]), "22x45"),
        ("image_grid_pinpoints", json!([[0, 22]]), "0x22"),
        ("image_grid_pinpoints", json!([22, 44]), "image_grid_pinpoints"),
        ("vision_aspect_ratio", json!("square"), "square"),
        ("vision_aspect_ratio", json!("anyres_max_0"), "tiles.most"),
        ("mm_newline_position", json!("no_token"), "newline"),
    ] {
        let mut place = recording().place;
        place.config[key] = value;
        place.write();
        let error = place.open().unwrap_err();
        assert!(matches!(&error, Error::Config { reason, .. } if reason.contains(named)), "{key}: {error}");
    }
}

#[test]
fn what_cannot_be_cut_is_refused() -> Any {
    let loaded = recording().place.load()?;
    let dir = tempfile::tempdir()?;
    let thin = write_image(dir.path(), 400, 1);
    let error = process(&loaded, &[&thin], MediaKind::Image).unwrap_err();
    assert!(matches!(&error, Error::Image { reason, .. } if reason.contains("1x400")), "{error}");
    // A folder of two frames that is called an image.
    write_image(dir.path(), 40, 30);
    let folder = dir.path().to_str().unwrap();
    let error = process(&loaded, &[folder], MediaKind::Image).unwrap_err();
    assert!(matches!(&error, Error::Image { reason, .. } if reason.contains("2 frames")), "{error}");
    let error = process(&loaded, &[&thin, &thin], MediaKind::Image).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { reason, .. } if reason.contains("2 media")), "{error}");
    Ok(())
}
