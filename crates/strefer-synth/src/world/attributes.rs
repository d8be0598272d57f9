//! What bodies look like, and what they are called.

use serde::{Deserialize, Serialize};

/// Defines an enum of words with its list of all values.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$value_doc])* $value),* }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$value => $word),* }
            }
        }
    };
}

words! {
    /// The form of a body.
    Shape {
        /// A sphere.
        Ball = "ball",
        /// A cube.
        Box = "box",
        /// An upright cylinder.
        Can = "can",
        /// A cone on its base.
        Cone = "cone",
        /// A torus standing on its edge.
        Ring = "ring",
    }
}

words! {
    /// The main colour of a body.
    Colour {
        /// Red.
        Red = "red",
        /// Orange.
        Orange = "orange",
        /// Yellow.
        Yellow = "yellow",
        /// Green.
        Green = "green",
        /// Blue.
        Blue = "blue",
        /// Purple.
        Purple = "purple",
        /// Pink.
        Pink = "pink",
        /// White.
        White = "white",
    }
}

words! {
    /// What is painted on a body.
    Pattern {
        /// Nothing.
        Plain = "plain",
        /// Slanting stripes.
        Striped = "striped",
        /// Round spots.
        Spotted = "spotted",
        /// Squares in turn.
        Checkered = "checkered",
    }
}

words! {
    /// How large a body is.
    Size {
        /// About 26 of 128 pixels.
        Small = "small",
        /// About 36 of 128 pixels.
        Medium = "medium",
        /// About 50 of 128 pixels.
        Large = "large",
    }
}

impl Colour {
    /// Red, green and blue in full light.
    pub(crate) fn rgb(self) -> [f32; 3] {
        match self {
            Self::Red => [222.0, 30.0, 38.0],
            Self::Orange => [252.0, 132.0, 8.0],
            Self::Yellow => [250.0, 226.0, 36.0],
            Self::Green => [36.0, 172.0, 58.0],
            Self::Blue => [28.0, 82.0, 226.0],
            Self::Purple => [128.0, 36.0, 176.0],
            Self::Pink => [255.0, 132.0, 190.0],
            Self::White => [246.0, 246.0, 246.0],
        }
    }
}

impl Shape {
    /// How far it reaches to the side and, seen at a slant, up and down from its middle, in sizes.
    pub(crate) fn reach(self) -> (f64, f64) {
        match self {
            Self::Ball | Self::Ring => (0.5, 0.5),
            Self::Box => (0.57, 0.68),
            Self::Can => (0.37, 0.6),
            Self::Cone => (0.5, 0.66),
        }
    }
}

impl Size {
    /// Metres across: seen from the usual distance, 26, 36 and 50 of 128 pixels.
    pub(crate) fn metres(self) -> f64 {
        match self {
            Self::Small => 0.536,
            Self::Medium => 0.742,
            Self::Large => 1.03,
        }
    }
}

/// What a body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Its form.
    pub shape: Shape,
    /// Its main colour.
    pub colour: Colour,
    /// What is painted on it.
    pub pattern: Pattern,
    /// How large it is.
    pub size: Size,
}

impl Attributes {
    /// What a person would call it: "large red striped ball".
    pub fn name(&self) -> String {
        format!("{} {} {} {}", self.size.word(), self.colour.word(), self.pattern.word(), self.noun())
    }

    /// The noun alone: "ball".
    pub fn noun(&self) -> &'static str {
        self.shape.word()
    }

    /// A word that fits every body and gives nothing away.
    pub fn general_noun(&self) -> &'static str {
        "toy"
    }

    /// Whether the combination is kept for testing: eight pairs of colour and shape, one a colour, and four pairs of
    /// pattern and shape, one a pattern.
    pub fn held_out(&self) -> bool {
        let colour = matches!(
            (self.colour, self.shape),
            (Colour::Red, Shape::Box)
                | (Colour::Orange, Shape::Cone)
                | (Colour::Yellow, Shape::Ball)
                | (Colour::Green, Shape::Can)
                | (Colour::Blue, Shape::Ring)
                | (Colour::Purple, Shape::Box)
                | (Colour::Pink, Shape::Cone)
                | (Colour::White, Shape::Ball)
        );
        let pattern = matches!(
            (self.pattern, self.shape),
            (Pattern::Plain, Shape::Can)
                | (Pattern::Striped, Shape::Cone)
                | (Pattern::Spotted, Shape::Box)
                | (Pattern::Checkered, Shape::Ring)
        );
        colour || pattern
    }

    /// Whether one can see it spin: round bodies need something painted on them.
    pub fn shows_spin(&self) -> bool {
        self.pattern != Pattern::Plain || matches!(self.shape, Shape::Box | Shape::Ring)
    }

    /// Radius of the ground it covers, in metres.
    pub(crate) fn footprint(&self) -> f64 {
        self.size.metres() * if self.shape == Shape::Box { 0.57 } else { 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_person_says() {
        let body = Attributes {
            shape: Shape::Ball,
            colour: Colour::Red,
            pattern: Pattern::Striped,
            size: Size::Large,
        };
        assert_eq!(body.name(), "large red striped ball");
        assert!(!body.held_out());
        assert!(Attributes { shape: Shape::Cone, ..body }.held_out());
    }
}
