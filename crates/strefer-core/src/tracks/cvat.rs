//! CVAT's XML for videos (1.1): tracks of boxes, polygons and masks. Shapes between keyframes that a file leaves out move as
//! the module `shapes` says; a track ends with its last shape.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::collect::{Collector, MOST_FRAMES, NO_LABEL, frame_count, known_size, mask_of, wrong};
use super::shapes::{self, Key};
use super::{ReadOptions, collect, file};
use crate::error::Result;
use crate::mask::{Mask, PixelBox};
use crate::masklet::FrameKey;
use crate::records::{Masklet, Masklets};
use crate::rle::MAX_PIXELS;

/// As what masks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As they are.
    Mask,
    /// As the boxes around them.
    Box,
}

/// An element with its place, for messages.
struct Element<'a> {
    path: &'a Path,
    attributes: BTreeMap<String, String>,
    record: String,
}

impl<'a> Element<'a> {
    fn of(path: &'a Path, start: &BytesStart<'_>, inside: &str) -> Result<Self> {
        let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        let mut record = if inside.is_empty() { name } else { format!("{inside}, {name}") };
        let mut attributes = BTreeMap::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| wrong(path, &record, error))?;
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| wrong(path, &record, error))?
                .into_owned();
            attributes.insert(String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value);
        }
        for key in ["id", "frame"] {
            if let Some(value) = attributes.get(key) {
                write!(record, " {key} {value}").expect("writing to a text cannot fail");
            }
        }
        Ok(Self { path, attributes, record })
    }

    fn text(&self, key: &str) -> Result<&str> {
        let text = self.attributes.get(key).map(String::as_str);
        text.ok_or_else(|| wrong(self.path, &self.record, format!("it has no {key}")))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T> {
        let text = self.text(key)?;
        text.trim()
            .parse()
            .map_err(|_| wrong(self.path, &self.record, format!("{key} {text:?} is no number")))
    }

    /// A coordinate of at most a million pixels.
    fn place(&self, key: &str) -> Result<f64> {
        let place: f64 = self.number(key)?;
        match place.abs() <= 1e6 {
            true => Ok(place),
            false => Err(wrong(self.path, &self.record, format!("{key} is {place}"))),
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.attributes.get(key).is_some_and(|flag| flag == "1")
    }

    /// The shape of a `box`, `polygon` or `mask`; `size` is that of frames.
    fn shape(&self, kind: &str, size: (u32, u32)) -> Result<Option<shapes::Shape>> {
        Ok(Some(match kind {
            "box" => {
                if self.attributes.get("rotation").is_some_and(|turn| turn.parse::<f64>() != Ok(0.0)) {
                    return Err(wrong(self.path, &self.record, "turned boxes are not supported"));
                }
                let edges = ["xtl", "ytl", "xbr", "ybr"].map(|key| self.place(key));
                let [left, top, right, bottom] = edges;
                shapes::Shape::Box([left?, top?, right?, bottom?])
            }
            "polygon" => {
                let text = self.text("points")?;
                let numbers: Option<Vec<f64>> =
                    text.split([';', ',']).map(|number| number.trim().parse().ok()).collect();
                let numbers = numbers.filter(|numbers| numbers.len() >= 6 && numbers.len() % 2 == 0);
                shapes::Shape::Polygon(numbers.ok_or_else(|| {
                    wrong(self.path, &self.record, format!("points {text:?} are no three corners or more"))
                })?)
            }
            "mask" => shapes::Shape::Mask(self.mask(size)?),
            _ => return Ok(None),
        }))
    }

    /// Runs along rows of a rectangle, outside first.
    fn mask(&self, (height, width): (u32, u32)) -> Result<Mask> {
        let [left, top, across, down] = ["left", "top", "width", "height"].map(|key| self.number::<u32>(key));
        let (left, top, across, down) = (left?, top?, across?, down?);
        let fits = |from: u32, length: u32, all: u32| u64::from(from) + u64::from(length) <= u64::from(all);
        if !fits(left, across, width) || !fits(top, down, height) {
            let reason =
                format!("{across}x{down} pixels at {left},{top} reach past the {width}x{height} frame");
            return Err(wrong(self.path, &self.record, reason));
        }
        let mut mask = Mask::zeros(height as usize, width as usize);
        let (mut at, all) = (0u64, u64::from(across) * u64::from(down));
        for (nth, run) in self.text("rle")?.split(',').enumerate() {
            let run: u32 = run.trim().parse().map_err(|_| {
                wrong(self.path, &self.record, format!("rle holds {:?}, which is no number", run.trim()))
            })?;
            let end = at + u64::from(run);
            if end > all {
                return Err(wrong(self.path, &self.record, format!("its runs fill more than {all} pixels")));
            }
            if nth % 2 == 1 {
                for pixel in at..end {
                    let (y, x) = (pixel / u64::from(across), pixel % u64::from(across));
                    mask.set(top as usize + y as usize, left as usize + x as usize, true);
                }
            }
            at = end;
        }
        match at == all {
            true => Ok(mask),
            false => Err(wrong(self.path, &self.record, format!("its runs fill {at} of {all} pixels"))),
        }
    }
}

/// A track under way.
struct Track {
    eid: String,
    label: Option<String>,
    record: String,
    keys: Vec<Key>,
}

/// The masklets of a file. A track's attribute `eid` is its name, or else `e` and its id.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Masklets> {
    let text = file::text(path)?;
    let mut reader = Reader::from_str(&text);
    let mut collector = Collector::new(path);
    let (mut size, mut count, mut video_id) = (options.size, None, None);
    let mut open: Vec<String> = Vec::new();
    let mut original: [Option<u32>; 2] = [None; 2];
    let mut track: Option<Track> = None;
    let (mut is_eid, mut is_cvat, mut said) = (false, false, String::new());
    loop {
        let event = reader
            .read_event()
            .map_err(|error| wrong(path, format!("byte {}", reader.error_position()), error))?;
        let empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(start) | Event::Empty(start) => {
                said.clear();
                is_cvat |= open.is_empty() && start.name().as_ref() == b"annotations";
                let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
                let inside = track.as_ref().map_or("", |track| track.record.as_str());
                let element = Element::of(path, &start, inside)?;
                match (name.as_str(), &mut track) {
                    ("track", None) => {
                        let id = element.text("id")?;
                        let label = element.attributes.get("label").cloned();
                        let (eid, record) = (format!("e{id}"), element.record.clone());
                        track = Some(Track { eid, label, record, keys: Vec::new() });
                        if empty {
                            finish(&mut collector, track.take(), size)?;
                        }
                    }
                    ("attribute", Some(_)) => is_eid = element.text("name")? == "eid" && !empty,
                    (kind, Some(track)) => add(track, kind, &element, size)?,
                    ("image", None) => {
                        return Err(wrong(
                            path,
                            &element.record,
                            "CVAT's XML for images has no tracks: export \"for video\"",
                        ));
                    }
                    _ => {}
                }
                if !empty {
                    open.push(name);
                }
            }
            Event::Text(part) => said.push_str(&String::from_utf8_lossy(&part)),
            Event::CData(part) => said.push_str(&String::from_utf8_lossy(&part)),
            Event::GeneralRef(part) => {
                let name = String::from_utf8_lossy(&part).into_owned();
                let letter = part.resolve_char_ref().ok().flatten().map(String::from);
                let known = letter.or_else(|| resolve_predefined_entity(&name).map(str::to_owned));
                said.push_str(&known.ok_or_else(|| wrong(path, format!("&{name};"), "an unknown entity"))?);
            }
            Event::End(end) => {
                let text = said.trim();
                let places: Vec<&str> = open.iter().map(String::as_str).collect();
                match (places.as_slice(), &mut track) {
                    ([.., "attribute"], Some(track)) if is_eid => track.eid = text.to_owned(),
                    ([.., "original_size", side], None) => {
                        original[usize::from(*side == "width")] = text.parse().ok()
                    }
                    ([_, "meta", .., "size"], None) => count = text.parse().ok().or(count),
                    ([_, "meta", _, "name"], None) => video_id = Some(text.to_owned()),
                    _ => {}
                }
                if let [Some(height), Some(width)] = original {
                    size = Some((height, width));
                }
                said.clear();
                open.pop();
                match end.name().as_ref() {
                    b"track" => finish(&mut collector, track.take(), size)?,
                    b"attribute" => is_eid = false,
                    _ => {}
                }
            }
            Event::Eof if !open.is_empty() => {
                return Err(wrong(
                    path,
                    format!("element {:?}", open[open.len() - 1]),
                    "the file is cut off in it",
                ));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_cvat {
        return Err(wrong(path, "file", "it has no annotations as CVAT's XML does"));
    }
    let video_id = options.video_id.clone().or(video_id).unwrap_or_else(|| collect::video_id(path, options));
    collector.finish(video_id, options.fps, count)
}

/// A shape of a track.
fn add(track: &mut Track, kind: &str, element: &Element<'_>, size: Option<(u32, u32)>) -> Result<()> {
    let (path, record) = (element.path, &element.record);
    if !matches!(kind, "box" | "polygon" | "mask") {
        return match kind {
            "polyline" | "points" | "cuboid" | "ellipse" | "skeleton" => {
                Err(wrong(path, record, "only boxes, polygons and masks are supported"))
            }
            _ => Ok(()),
        };
    }
    let size = size.filter(|(height, width)| u64::from(*height) * u64::from(*width) <= MAX_PIXELS);
    let size = size
        .ok_or_else(|| wrong(path, record, "the file has no original_size before it, and none is given"))?;
    let frame: u32 = element.number("frame")?;
    let shape = if element.flag("outside") { None } else { element.shape(kind, size)? };
    if frame as usize >= MOST_FRAMES {
        return Err(wrong(path, record, "no video has so many frames"));
    }
    if track.keys.last().is_some_and(|last| last.frame >= frame) {
        return Err(wrong(path, record, "its frame is not behind the one before it"));
    }
    track.keys.push(Key { frame, goes_on: shape.is_some(), shape });
    Ok(())
}

fn finish(collector: &mut Collector<'_>, track: Option<Track>, size: Option<(u32, u32)>) -> Result<()> {
    let (Some(track), (height, width)) = (track, size.unwrap_or_default()) else { return Ok(()) };
    collector.declare(&track.eid, track.label.as_deref());
    let path = collector.path();
    shapes::every_frame(&track.keys, |frame, shape| {
        let record = format!("{}, frame {frame}", track.record);
        let mask = shape.mask(height, width).map_err(|error| wrong(path, &record, error))?;
        collector.add(&track.eid, frame, &mask, &record)
    })
}

/// Writes one track an object, every frame a keyframe.
pub fn write(path: &Path, masklets: &Masklets, shape: Shape) -> Result<()> {
    let (height, width) = known_size(path, masklets)?;
    let frames = frame_count(masklets);
    let mut xml = String::new();
    write!(
        xml,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n      \
         <name>{}</name>\n      <size>{frames}</size>\n      <mode>interpolation</mode>\n      <original_size>\n        \
         <width>{width}</width>\n        <height>{height}</height>\n      </original_size>\n    </task>\n  </meta>\n",
        escape(masklets.video_id.as_str())
    )
    .expect("writing to a text cannot fail");
    for (id, object) in masklets.objects.iter().enumerate() {
        track(&mut xml, path, id, object, frames, shape)?;
    }
    xml.push_str("</annotations>\n");
    file::replace(path, xml.as_bytes())
}

fn track(
    xml: &mut String,
    path: &Path,
    id: usize,
    object: &Masklet,
    frames: usize,
    shape: Shape,
) -> Result<()> {
    let label = escape(object.detector_label.as_deref().unwrap_or(NO_LABEL));
    let mut keys: Vec<_> = object.frames.iter().collect();
    keys.sort_by_key(|(key, _)| **key);
    let mut say = |line: String| {
        xml.push_str(&line);
        xml.push('\n');
    };
    say(format!("  <track id=\"{id}\" label=\"{label}\" source=\"file\">"));
    for (at, (FrameKey(frame), entry)) in keys.iter().enumerate() {
        let mask = mask_of(path, &object.eid, FrameKey(*frame), entry)?;
        let Some(area) = mask.bbox() else { continue };
        let name = format!("<attribute name=\"eid\">{}</attribute>", escape(object.eid.as_str()));
        let line = |frame: u32, outside: u8| match shape {
            Shape::Box => {
                let PixelBox { x0, y0, x1, y1 } = area;
                format!(
                    "    <box frame=\"{frame}\" outside=\"{outside}\" occluded=\"0\" keyframe=\"1\" xtl=\"{x0}\" ytl=\"{y0}\" \
                     xbr=\"{x1}\" ybr=\"{y1}\" z_order=\"0\">{name}</box>"
                )
            }
            Shape::Mask => {
                let (rle, left, top) = (runs(&mask, area), area.x0, area.y0);
                let (across, down) = (area.x1 - area.x0, area.y1 - area.y0);
                format!(
                    "    <mask frame=\"{frame}\" outside=\"{outside}\" occluded=\"0\" keyframe=\"1\" rle=\"{rle}\" left=\"{left}\" \
                     top=\"{top}\" width=\"{across}\" height=\"{down}\" z_order=\"0\">{name}</mask>"
                )
            }
        };
        say(line(*frame, 0));
        // Behind a mask without a successor the object is gone.
        let next = keys.get(at + 1).map_or(frames, |(next, _)| next.0 as usize);
        if (*frame as usize + 1) < next {
            say(line(frame + 1, 1));
        }
    }
    say("  </track>".to_owned());
    Ok(())
}

/// Runs along the rows of a rectangle, outside first.
fn runs(mask: &Mask, area: PixelBox) -> String {
    let (mut runs, mut run, mut inside) = (Vec::new(), 0u32, false);
    for y in area.y0..area.y1 {
        for x in area.x0..area.x1 {
            if mask.get(y, x) != inside {
                runs.push(run.to_string());
                (run, inside) = (0, !inside);
            }
            run += 1;
        }
    }
    runs.push(run.to_string());
    runs.join(", ")
}
