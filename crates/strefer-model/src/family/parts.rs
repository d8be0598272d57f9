//! Parts that training scripts save alone: `mm_projector.bin`, `region_encoder.bin`.

use std::path::Path;

use strefer_nn::Weights;

use crate::error::Result;
use crate::video_llm::prefix;

/// Their file, what their names have up to the part's own, and where the part goes.
const PARTS: [(&str, &str, &str); 2] = [
    ("mm_projector.bin", "mm_projector.", prefix::CONNECTOR),
    ("region_encoder.bin", "region_encoder.", prefix::REGION),
];

/// A part that was saved alone (`mm_projector.bin`, `region_encoder.bin`), under our names. Their names are full ones;
/// everything up to and including the part's is cut off. Other tensors keep their names.
pub fn open_part(file: impl AsRef<Path>) -> Result<Weights> {
    Ok(Weights::open(file)?.renamed(|name| Some(own_name(name).unwrap_or_else(|| name.to_owned())))?)
}

/// Our name of a part's tensor. A two-layer projector is numbered like a list; our connector calls that list as its
/// reference does, and the newline vector is saved with it.
fn own_name(name: &str) -> Option<String> {
    if name.ends_with("image_newline") {
        return Some(format!("{}.image_newline", prefix::CONNECTOR));
    }
    let (part, rest) = PARTS
        .iter()
        .find_map(|(_, theirs, ours)| Some((ours, &name[name.find(theirs)? + theirs.len()..])))?;
    let numbered = rest.starts_with(|first: char| first.is_ascii_digit());
    Some(if numbered { format!("{part}.mm_projector.{rest}") } else { format!("{part}.{rest}") })
}

/// Whether the weights hold a tensor of a part.
pub(super) fn has(weights: &Weights, part: &str) -> bool {
    weights.names().any(|name| name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.')))
}

/// Adds the parts that lie alone in `dir` and that the weights do not hold.
pub(super) fn join(dir: &Path, mut weights: Weights) -> Result<Weights> {
    for (file, _, part) in PARTS {
        let file = dir.join(file);
        if file.is_file() && !has(&weights, part) {
            weights = weights.joined(open_part(&file)?)?;
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_of_parts_become_ours() {
        for (theirs, ours) in [
            ("model.mm_projector.s1.b1.se.fc1.bias", Some("connector.s1.b1.se.fc1.bias")),
            ("model.mm_projector.2.weight", Some("connector.mm_projector.2.weight")),
            ("base_model.model.model.mm_projector.readout.0.bias", Some("connector.readout.0.bias")),
            ("model.region_encoder.feat_linear.0.weight", Some("region_encoder.feat_linear.0.weight")),
            ("model.image_newline", Some("connector.image_newline")),
            ("model.norm.weight", None),
        ] {
            assert_eq!(own_name(theirs).as_deref(), ours);
        }
    }
}
