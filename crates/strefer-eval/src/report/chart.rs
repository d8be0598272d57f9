//! Line charts as SVG.

use std::fmt::Write;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, x ascending.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 36.0;
const COLOURS: [&str; 6] = ["#0b6bcb", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0f766e"];

/// A chart of some curves over one axis; empty without points.
pub fn line_chart(x_name: &str, y_name: &str, curves: &[Curve]) -> String {
    let points =
        || curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let (low, high) =
            points().map(pick).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
    };
    if points().next().is_none() {
        return String::new();
    }
    let ((x0, x1), (y0, y1)) = (range(|point| point.0), range(|point| point.1));
    let y0 = y0.min(0.0);
    let place_x = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - 12.0);
    let place_y = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - BOTTOM - 12.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{y_name}\">");
    // Writing to a String cannot fail, here and below.
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let (x, y) = (x0 + share * (x1 - x0), y0 + share * (y1 - y0));
        let (at_x, at_y) = (place_x(x), place_y(y));
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at_y:.1}\" y2=\"{at_y:.1}\" stroke=\"#d4d4d8\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text x=\"{at_x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            WIDTH - 12.0,
            LEFT - 6.0,
            at_y + 4.0,
            number(y),
            HEIGHT - BOTTOM + 16.0,
            number(x),
        );
    }
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = curve
            .points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(x, y)| format!("{:.1},{:.1}", place_x(x), place_y(y)))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
            path.join(" ")
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{x_name}</text></svg>",
        WIDTH - 12.0,
        HEIGHT - 2.0
    );
    let legend: Vec<String> = curves
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(curve, colour)| format!("<span style=\"color:{colour}\">■ {}</span>", curve.name))
        .collect();
    format!("<figure><figcaption>{y_name} {}</figcaption>{svg}</figure>", legend.join(" "))
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
