//! The model that comes with the repository, asked which of a frame's boxes an expression means.

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use strefer_engine::masklets::eyes::FrameStore;
use strefer_engine::masklets::referees::{RegionOptions, RegionReferee};
use strefer_engine::masklets::{Area, Referee};
use strefer_model::question::media;
use strefer_model::{Checkpoint, FrameCache, ProcessorOptions};
use strefer_nn::testing::device;
use strefer_synth::{Split, WorldConfig, read_truth, write_world};
use strefer_video::{Limits, VideoSource};

#[test]
fn our_own_model_tells_which_box_an_expression_means() {
    let world = tempfile::tempdir().unwrap();
    write_world(&WorldConfig::default(), Split::Test, 11, 0..8, world.path(), &|_| ()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/strefer-tiny/final");
    let cache = Arc::new(FrameCache::new(64 << 20));
    let options = ProcessorOptions { cache, ..ProcessorOptions::default() };
    let loaded = Checkpoint::open(folder).unwrap().load(device(), DType::F32, options).unwrap();
    let (mut right, mut asked, mut guessed, mut sure) = (0, 0, 0.0, 0.0);
    for clip in read_truth(world.path()).unwrap() {
        let path = std::fs::read_dir(world.path().join("videos"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_stem().is_some_and(|stem| stem == clip.id.as_str()))
            .unwrap();
        let source = VideoSource::open(&path, &Limits::default()).unwrap();
        let media = media(&path, source.info());
        let (frames, timeline) = FrameStore::open(source, 8).unwrap();
        let mut referee = RegionReferee::new(
            &loaded.model,
            &loaded.processor,
            media,
            &timeline,
            frames.size(),
            RegionOptions::default(),
        );
        for position in [2, 5] {
            let frame = timeline.indices[position];
            let seen = clip.bodies.iter().filter_map(|body| {
                let mask = body.masks[frame].as_ref().filter(|mask| mask.area() >= 60)?;
                let found = mask.bbox()?;
                let area: Area = [found.x0, found.y0, found.x1, found.y1].map(|side| side as f64);
                Some((body.name.as_str(), area))
            });
            let (names, boxes): (Vec<&str>, Vec<Area>) = seen.unzip();
            let twice = |name: &&str| names.iter().filter(|other| *other == name).count() > 1;
            if names.len() < 2 || names.iter().any(twice) {
                continue;
            }
            let answers = referee.refer(position, &boxes, &names).unwrap();
            for (at, answer) in answers.iter().enumerate() {
                right += usize::from(answer.indices == [at]);
                sure += answer.confidence[0];
                asked += 1;
                guessed += 1.0 / names.len() as f64;
            }
        }
    }
    let share = right as f64 / asked as f64;
    eprintln!("{right} of {asked}, chance {guessed:.1}, mean confidence {:.3}", sure / asked as f64);
    assert!(
        asked >= 20 && share > 0.8 && guessed / asked as f64 <= 0.5,
        "{right} of {asked}, chance {guessed:.1}"
    );
}
