//! Ways to point at objects, kept in the order in which they are given, whatever their names.

use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use strefer_core::{Gesture, PixelBox, PixelPoint};
use strefer_model::question::{Mark, MarkShape, read_mask, read_masks};

/// Marked objects in the order of the command line.
#[derive(Debug, Clone, Default)]
pub struct MarkArgs {
    given: Vec<(Way, String)>,
}

/// One way to point at an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Mask,
    Masks,
    Box,
    Point,
    Scribble,
    Polygon,
}

impl Way {
    const ALL: [Self; 6] = [Self::Mask, Self::Masks, Self::Box, Self::Point, Self::Scribble, Self::Polygon];

    fn flag(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Masks => "masks",
            Self::Box => "box",
            Self::Point => "point",
            Self::Scribble => "scribble",
            Self::Polygon => "polygon",
        }
    }

    fn arg(self) -> Arg {
        let (value, help) = match self {
            Self::Mask => (
                "FILE@TIME",
                "An object's mask (PNG, or JSON with COCO run lengths) and the second it belongs to",
            ),
            Self::Masks => {
                ("DIR", "A folder of an object's masks, each named by the number of its frame (00012.png)")
            }
            Self::Box => {
                ("X0,Y0,X1,Y1@TIME", "A box around an object, in pixels, and the second it belongs to")
            }
            Self::Point => (
                "X,Y;...@TIME",
                "One or several pixels of one object; a disc around each is meant, with --segmenter the object. There \
                     pixels behind a ! are beside it: X,Y;!X,Y@TIME",
            ),
            Self::Scribble => ("X,Y;X,Y;...@TIME", "A line over an object, drawn with a thick pen"),
            Self::Polygon => ("X,Y;X,Y;X,Y;...@TIME", "The corners of an object's outline"),
        };
        Arg::new(self.flag()).long(self.flag()).value_name(value).help(help).action(ArgAction::Append)
    }

    fn read(self, text: &str) -> Result<Mark> {
        if self == Self::Masks {
            return Ok(Mark::Frames(read_masks(text.as_ref())?));
        }
        let (what, at_s) = split_time(text)?;
        let gesture = match self {
            Self::Mask | Self::Masks => {
                return Ok(Mark::Once { shape: MarkShape::Mask(read_mask(what.as_ref())?), at_s });
            }
            Self::Box => {
                let [x0, y0, x1, y1] = whole_numbers(what).context("expected four whole numbers")?;
                Gesture::Box(PixelBox { x0, y0, x1, y1 })
            }
            Self::Point if what.contains('!') => {
                return Ok(Mark::Once { shape: clicks(what)?, at_s });
            }
            Self::Point => Gesture::Points(points(what)?),
            Self::Scribble => Gesture::Scribble(points(what)?),
            Self::Polygon => Gesture::Polygon(points(what)?),
        };
        gesture.validate()?;
        Ok(Mark::Once { shape: MarkShape::Gesture(gesture), at_s })
    }
}

impl MarkArgs {
    /// Reads what was given.
    ///
    /// # Errors
    /// What cannot be meant, with the argument it stands in.
    pub fn read(&self) -> Result<Vec<Mark>> {
        let read =
            |(way, text): &(Way, String)| way.read(text).with_context(|| format!("--{} {text}", way.flag()));
        self.given.iter().map(read).collect()
    }
}

impl FromArgMatches for MarkArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for way in Way::ALL {
            let places = matches.indices_of(way.flag()).into_iter().flatten();
            let texts = matches.get_many::<String>(way.flag()).into_iter().flatten();
            given.extend(places.zip(texts).map(|(place, text)| (place, (way, text.clone()))));
        }
        given.sort_by_key(|(place, _)| *place);
        Ok(Self { given: given.into_iter().map(|(_, argument)| argument).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for MarkArgs {
    fn augment_args(command: Command) -> Command {
        command.args(Way::ALL.map(Way::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// `WHAT@SECONDS`.
fn split_time(argument: &str) -> Result<(&str, f64)> {
    let (what, time) = argument.rsplit_once('@').context("expected @ and a time in seconds at the end")?;
    let at_s: f64 = time.parse().with_context(|| format!("{time:?} is not a time in seconds"))?;
    if !at_s.is_finite() || at_s < 0.0 {
        bail!("{time:?} is not a time in seconds");
    }
    Ok((what, at_s))
}

/// So many whole numbers between commas.
fn whole_numbers<const COUNT: usize>(text: &str) -> Option<[usize; COUNT]> {
    let numbers: Vec<usize> =
        text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// `X,Y;X,Y;…`
fn points(text: &str) -> Result<Vec<PixelPoint>> {
    let point = |text: &str| {
        let [x, y] = whole_numbers(text)
            .with_context(|| format!("{text:?} is not a pixel: expected two whole numbers X,Y"))?;
        Ok(PixelPoint { x, y })
    };
    text.split(';').map(point).collect()
}

/// `X,Y;!X,Y;…`
fn clicks(text: &str) -> Result<MarkShape> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for place in text.split(';') {
        match place.trim().strip_prefix('!') {
            Some(place) => outside.extend(points(place)?),
            None => inside.extend(points(place)?),
        }
    }
    if inside.is_empty() {
        bail!("points beside an object need one on it");
    }
    Ok(MarkShape::Clicks { inside, outside })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(arguments: &[&str]) -> Result<Vec<Mark>> {
        let command = MarkArgs::augment_args(Command::new("ask").no_binary_name(true));
        MarkArgs::from_arg_matches(&command.try_get_matches_from(arguments)?)?.read()
    }

    #[test]
    fn objects_keep_the_order_of_the_command_line() {
        let given =
            ["--point", "1,2@0", "--box", "1,2,30,40@1", "--point=3, 4;5,6@2", "--polygon", "0,0;9,0;9,9@3"];
        let marks = marks(&given).unwrap();
        let names = marks.iter().map(|mark| match mark {
            Mark::Once { shape: MarkShape::Gesture(gesture), at_s } => format!("{gesture} at {at_s}"),
            other => format!("{other:?}"),
        });
        let expected =
            ["point 1,2 at 0", "box 1,2,30,40 at 1", "point 3,4;5,6 at 2", "polygon 0,0;9,0;9,9 at 3"];
        assert_eq!(names.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn points_beside_an_object_are_told_from_those_on_it() {
        let marks = marks(&["--point", "1,2; !3,4;5,6@0.5"]).unwrap();
        let places = |places: &[(usize, usize)]| places.iter().map(|&(x, y)| PixelPoint { x, y }).collect();
        let shape = MarkShape::Clicks { inside: places(&[(1, 2), (5, 6)]), outside: places(&[(3, 4)]) };
        assert_eq!(marks, [Mark::Once { shape, at_s: 0.5 }]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        assert_eq!(split_time("a@b/mask.png@1.5").unwrap(), ("a@b/mask.png", 1.5));
        for (flag, wrong, reason) in [
            ("--box", "1,2,3@0", "four whole numbers"),
            ("--box", "a,b,c,d@1", "four whole numbers"),
            ("--box", "1,2,3,4", "expected @"),
            ("--box", "4,2,3,9@1", "encloses no pixel"),
            ("--box", "1,2,3,4@-1", "not a time"),
            ("--box", "1,2,3,4@inf", "not a time"),
            ("--point", "@1", "\"\" is not a pixel"),
            ("--point", "1@1", "\"1\" is not a pixel"),
            ("--point", "1,2,3@1", "is not a pixel"),
            ("--point", "1.5,2@1", "is not a pixel"),
            ("--point", "1,2;@1", "\"\" is not a pixel"),
            ("--point", "!1,2@1", "need one on it"),
            ("--point", "1,2;!@1", "\"\" is not a pixel"),
            ("--point", "!1,2;!!1,2@1", "is not a pixel"),
            ("--scribble", "1,2@1", "a scribble needs at least 2 points, 1 are given"),
            ("--polygon", "1,2;3,4@1", "a polygon needs at least 3 points, 2 are given"),
            ("--polygon", "1,2;3,4;5,6", "expected @"),
            ("--mask", "nowhere.png@1", "nowhere.png"),
            ("--masks", "nowhere", "nowhere"),
        ] {
            let error = format!("{:#}", marks(&[flag, wrong]).unwrap_err());
            assert!(error.starts_with(&format!("{flag} {wrong}: ")) && error.contains(reason), "{error}");
        }
    }
}
