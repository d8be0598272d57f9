//! Image tiles of LLaVA-OneVision, from either form of `config.json`.

use serde_json::Value;

use super::fields::Fields;
use crate::error::Result;
use crate::tiles::TilesConfig;

/// How images are cut: the port always does, the original where it says so.
///
/// # Errors
/// Another way to show images, resolutions that are no list of pairs.
pub(super) fn config(fields: &Fields<'_>, ported: bool, size: usize) -> Result<Option<TilesConfig>> {
    let (key, usual) = match ported {
        true => ("vision_aspect_ratio", Some("anyres_max_9")),
        false => ("image_aspect_ratio", None),
    };
    let Some(aspect) = fields.text(key).or(usual) else { return Ok(None) };
    fields.refuse_others("mm_patch_merge_type", &["spatial_unpad"])?;
    let unknown =
        || fields.bad(format!("{key:?} is {aspect:?}, only \"anyres\" and \"anyres_max_N\" are supported"));
    let most = match aspect.strip_prefix("anyres").ok_or_else(unknown)? {
        "" => None,
        rest => Some(rest.strip_prefix("_max_").and_then(|most| most.parse().ok()).ok_or_else(unknown)?),
    };
    let json = &fields.json["image_grid_pinpoints"];
    if json.is_null() {
        return Ok(Some(TilesConfig::up_to_six(size, most)));
    }
    let pinpoints = pinpoints(json, ported, size)
        .ok_or_else(|| fields.bad("\"image_grid_pinpoints\" is no list of pairs of sizes"))?;
    Ok(Some(TilesConfig { pinpoints, most }))
}

/// Heights and widths in pixels. The port lists them in this order, the original the other way round, or names the first
/// and the last number of tiles: `(1x1),...,(6x6)`.
fn pinpoints(json: &Value, ported: bool, size: usize) -> Option<Vec<(usize, usize)>> {
    let pair = |(first, second)| if ported { (first, second) } else { (second, first) };
    match json {
        Value::Array(listed) => listed.iter().map(|listed| Some(pair(numbers(listed)?))).collect(),
        Value::String(text) => {
            let (first, last) = text.split_once(",...,")?;
            let (first, last) = (tiles(first)?, tiles(last)?);
            let seconds = |one| (first.1..=last.1).map(move |other| pair((one * size, other * size)));
            Some((first.0..=last.0).flat_map(seconds).collect())
        }
        _ => None,
    }
}

fn numbers(pair: &Value) -> Option<(usize, usize)> {
    let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
    match pair.as_array()?.as_slice() {
        [first, second] => Some((number(first)?, number(second)?)),
        _ => None,
    }
}

/// Numbers of tiles, written `(2x3)`.
fn tiles(text: &str) -> Option<(usize, usize)> {
    let (first, second) = text.trim().strip_prefix('(')?.strip_suffix(')')?.split_once('x')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn read(json: &Value, ported: bool) -> Result<Option<TilesConfig>> {
        config(&Fields { path: Path::new("config.json"), json }, ported, 384)
    }

    #[test]
    fn both_forms_say_the_same_in_their_own_order() {
        let listed =
            json!({"vision_aspect_ratio": "anyres_max_4", "image_grid_pinpoints": [[384, 768], [768, 384]]});
        let ported = read(&listed, true).unwrap().unwrap();
        assert_eq!(ported, TilesConfig { pinpoints: vec![(384, 768), (768, 384)], most: Some(4) });
        let listed =
            json!({"image_aspect_ratio": "anyres_max_4", "image_grid_pinpoints": [[768, 384], [384, 768]]});
        assert_eq!(read(&listed, false).unwrap().unwrap(), ported);
        let named = json!({"image_aspect_ratio": "anyres", "image_grid_pinpoints": "(1x1),...,(6x6)"});
        let mut named = read(&named, false).unwrap().unwrap();
        let mut all = TilesConfig::up_to_six(384, None);
        named.pinpoints.sort_unstable();
        all.pinpoints.sort_unstable();
        assert_eq!(named, all);
    }

    #[test]
    fn what_is_not_said_is_the_usual() {
        assert_eq!(read(&json!({}), true).unwrap(), Some(TilesConfig::up_to_six(384, Some(9))));
        assert_eq!(read(&json!({}), false).unwrap(), None);
    }

    #[test]
    fn other_ways_and_lists_that_are_none_are_refused() {
        for (key, value) in [
            ("vision_aspect_ratio", json!("pad")),
            ("vision_aspect_ratio", json!("anyres_max_many")),
            ("mm_patch_merge_type", json!("flat")),
            ("image_grid_pinpoints", json!([[384, 384, 384]])),
            ("image_grid_pinpoints", json!([[384, -384]])),
            ("image_grid_pinpoints", json!("[(384, 384)]")),
            ("image_grid_pinpoints", json!(384)),
        ] {
            let error = read(&json!({key: value}), true).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("config.json"), "{key}: {error}");
        }
    }
}
