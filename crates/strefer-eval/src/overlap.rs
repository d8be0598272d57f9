//! How much two windows of `[start, end]` seconds share.

fn shared_s(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[1].min(b[1]) - a[0].max(b[0])).max(0.0)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Intersection over union, 0 to 1.
pub(crate) fn iou(a: [f64; 2], b: [f64; 2]) -> f64 {
    let shared = shared_s(a, b);
    ratio(shared, (a[1] - a[0]) + (b[1] - b[0]) - shared)
}

/// Intersection over the stretch from the earlier start to the later end; the same as [`iou`] where windows overlap.
pub(crate) fn hull_iou(a: [f64; 2], b: [f64; 2]) -> f64 {
    ratio(shared_s(a, b), a[1].max(b[1]) - a[0].min(b[0]))
}
