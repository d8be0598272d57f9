//! Saving and opening weights, and what happens when it goes wrong.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use strefer_nn::testing::{assert_close, device, randn};
use strefer_nn::weights::{SyncWrite, save_safetensors_with};
use strefer_nn::{Error, Weights, save_safetensors};

fn tensors(seed: u64) -> BTreeMap<String, Tensor> {
    let wide = [("b.weight", vec![4, 6]), ("a", vec![3]), ("scalar", vec![]), ("c", vec![5, 2, 2])];
    let mut tensors: BTreeMap<String, Tensor> =
        wide.iter().map(|(name, dims)| (name.to_string(), randn(seed, dims))).collect();
    tensors.insert("half".into(), randn(9, &[3, 3]).to_dtype(DType::BF16).unwrap());
    tensors.insert("count".into(), Tensor::new(7i64, device()).unwrap());
    tensors.insert("flags".into(), Tensor::new(&[1u8, 0, 1], device()).unwrap());
    tensors
}

fn kept(seed: u64) -> Weights {
    Weights::from_tensors("memory", tensors(seed))
}

fn assert_same(weights: &Weights, wanted: &BTreeMap<String, Tensor>) {
    assert_eq!(weights.names().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, tensor) in wanted {
        let found = weights.load(name, tensor.dtype(), device()).unwrap();
        assert_eq!(found.dims(), tensor.dims(), "{name}");
        assert_close(&found, tensor, 0.0);
    }
}

#[test]
fn one_file_comes_back_equal_and_is_readable_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let files = save_safetensors(dir.path(), "model", &kept(1), usize::MAX, &metadata).unwrap();
    assert_eq!(files, [dir.path().join("model.safetensors")]);
    assert_same(&Weights::open(dir.path()).unwrap(), &tensors(1));
    assert_same(&Weights::open(&files[0]).unwrap(), &tensors(1));
    let bytes = std::fs::read(&files[0]).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    safetensors::SafeTensors::deserialize(&bytes).unwrap();
}

#[test]
fn shards_come_back_equal_and_a_later_whole_file_replaces_them() {
    let dir = tempfile::tempdir().unwrap();
    let files = save_safetensors(dir.path(), "model", &kept(1), 100, &BTreeMap::new()).unwrap();
    assert!(files.len() > 2 && files.last().unwrap().ends_with("model.safetensors.index.json"));
    assert_same(&Weights::open(dir.path()).unwrap(), &tensors(1));
    save_safetensors(dir.path(), "model", &kept(2), usize::MAX, &BTreeMap::new()).unwrap();
    assert_same(&Weights::open(dir.path()).unwrap(), &tensors(2));
}

#[test]
fn values_convert_at_load() {
    let weights = Weights::from_tensors("memory", tensors(1));
    let loaded = weights.load("half", DType::F32, device()).unwrap();
    assert_eq!((loaded.dtype(), weights.dtype("half")), (DType::F32, Some(DType::BF16)));
    assert_eq!(weights.shape("c"), Some(&[5, 2, 2][..]));
}

#[test]
fn renaming_moves_drops_and_refuses_collisions() {
    let weights = Weights::from_tensors("memory", tensors(1));
    let renamed = weights.clone().renamed(|name| (name != "a").then(|| format!("x.{name}"))).unwrap();
    assert!(renamed.contains("x.b.weight") && !renamed.contains("x.a"));
    renamed.load("x.c", DType::F32, device()).unwrap();
    let error = weights.clone().renamed(|_| Some("same".into())).unwrap_err();
    assert!(matches!(error, Error::DuplicateTensor { .. }));
    assert!(weights.clone().joined(renamed).is_ok());
    assert!(matches!(weights.clone().joined(weights), Err(Error::DuplicateTensor { .. })));
}

/// A disk that is full after some bytes.
struct Full {
    left: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.left {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.left -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl SyncWrite for Full {
    fn sync(&mut self) -> std::io::Result<()> {
        self.flush()
    }
}

#[test]
fn a_full_disk_leaves_the_previous_weights_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    save_safetensors(dir.path(), "model", &kept(1), usize::MAX, &BTreeMap::new()).unwrap();
    for left in [0, 8, 150, 250] {
        let create = |path: &Path| -> std::io::Result<Box<dyn SyncWrite>> {
            std::fs::write(path, b"begun")?;
            Ok(Box::new(Full { left }))
        };
        let error =
            save_safetensors_with(dir.path(), "model", &kept(2), 200, &BTreeMap::new(), &create).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(dir.path())), "{error}");
    }
    assert_same(&Weights::open(dir.path()).unwrap(), &tensors(1));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn missing_damaged_and_empty_places_have_their_own_errors() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(Error::NoWeights { .. })));
    assert!(matches!(Weights::open(dir.path().join("no")), Err(Error::Io { .. })));
    let file = dir.path().join("model.safetensors");
    save_safetensors(dir.path(), "model", &kept(1), usize::MAX, &BTreeMap::new()).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
    let error = Weights::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    let pickle = dir.path().join("weights.pt");
    std::fs::write(&pickle, b"not a zip").unwrap();
    assert!(matches!(Weights::open(&pickle), Err(Error::Malformed { .. })));
    let weights = Weights::from_tensors("memory", tensors(1));
    let error = weights.load("gone", DType::F32, device()).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { name, .. } if name == "gone"));
}

/// Files as torch writes them, plain and wrapped as training scripts do: a matrix of 0 to 5, the same storage read
/// column by column, four tens, and a tensor that begins in the middle of their storage.
#[test]
fn torch_files_are_read_plain_and_wrapped() {
    for file in ["plain.pt", "wrapped.pt"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
        let weights = Weights::open(&path).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a.bias", "a.weight", "part", "turned"], "{file}");
        assert_eq!(weights.shape("a.weight"), Some(&[2, 3][..]));
        let load = |name: &str| weights.load(name, DType::F32, device()).unwrap();
        assert_eq!(load("a.weight").to_vec2::<f32>().unwrap(), [[0., 1., 2.], [3., 4., 5.]]);
        assert_eq!(load("turned").to_vec2::<f32>().unwrap(), [[0., 3.], [1., 4.], [2., 5.]]);
        assert_eq!(load("a.bias").to_vec1::<f32>().unwrap(), [10., 20., 30., 40.]);
        assert_eq!(load("part").to_vec1::<f32>().unwrap(), [30., 40.]);
    }
}

#[test]
fn an_index_names_files_of_its_own_folder_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = save_safetensors(dir.path(), "model", &kept(1), 200, &BTreeMap::new()).unwrap();
    std::fs::remove_file(&files[0]).unwrap();
    let gone = files[0].file_name().unwrap().to_string_lossy().into_owned();
    let error = Weights::open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::IndexedFile { file, .. } if *file == gone), "{error}");
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"weight_map": {"a": "../elsewhere.safetensors"}}"#).unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(Error::IndexedFile { .. })));
    std::fs::write(&index, "[]").unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(Error::Malformed { .. })));
}

#[test]
fn a_folder_may_hold_one_torch_checkpoint_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wrapped.pt");
    std::fs::copy(&data, dir.path().join("checkpoint_3.pt")).unwrap();
    assert_eq!(Weights::open(dir.path()).unwrap().names().count(), 4);
    std::fs::copy(&data, dir.path().join("checkpoint_4.pt")).unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(Error::Malformed { .. })));
    // Beside a model they are something else: optimisers, random states.
    save_safetensors(dir.path(), "model", &kept(1), usize::MAX, &BTreeMap::new()).unwrap();
    assert_same(&Weights::open(dir.path()).unwrap(), &tensors(1));
}

#[test]
fn the_mean_counts_every_set_alike_and_asks_for_the_same_tensors() {
    let set = |origin: &str, seed, dims: &[usize]| {
        let tensors = [("w".to_owned(), randn(seed, dims)), ("b".to_owned(), randn(seed + 10, &[2]))];
        Weights::from_tensors(origin, tensors.into())
    };
    let sets = [set("one", 1, &[3, 2]), set("two", 2, &[3, 2]), set("three", 3, &[3, 2]).cast(DType::BF16)];
    let load = |weights: &Weights, name| weights.load(name, DType::F32, device()).unwrap();
    let [one, two, three] = sets.clone();
    let mean = one.mean([two, three]).unwrap();
    assert_eq!(mean.dtype("w"), Some(DType::F32));
    for name in ["w", "b"] {
        let [a, b, c] = sets.each_ref().map(|weights| load(weights, name));
        assert_close(
            &load(&mean, name),
            &((a + b).unwrap() + c).unwrap().affine(1.0 / 3.0, 0.0).unwrap(),
            1e-6,
        );
    }
    let [one, two, _] = sets;
    let refused = |first: &Weights, other: Weights| first.clone().mean([other]).unwrap_err().to_string();
    let error = refused(&one, set("four", 4, &[2, 3]));
    assert!(error.contains("four") && error.contains("\"w\"") && error.contains("[2, 3]"), "{error}");
    let lean = two.renamed(|name| (name == "w").then(|| name.to_owned())).unwrap();
    for error in [refused(&one, lean.clone()), refused(&lean, one.clone())] {
        assert!(error.contains("\"b\" is missing"), "{error}");
    }
}
