//! Stop strings in text that comes in pieces.

/// Text so far, and how much of it cannot become part of a stop string any more.
pub(super) struct Stopper<'a> {
    stop: &'a [String],
    pub text: String,
    out: usize,
    stopped: bool,
}

impl<'a> Stopper<'a> {
    pub fn new(stop: &'a [String]) -> Self {
        Self { stop, text: String::new(), out: 0, stopped: false }
    }

    /// Adds text; true when it holds a stop string, before which it is cut.
    pub fn push(&mut self, piece: &str) -> bool {
        if self.stopped {
            return true;
        }
        self.text.push_str(piece);
        let found = self.stop.iter().filter_map(|stop| self.text[self.out..].find(stop.as_str())).min();
        if let Some(at) = found {
            self.text.truncate(self.out + at);
            self.stopped = true;
        }
        self.stopped
    }

    /// New text that can be shown.
    pub fn release(&mut self) -> &str {
        let begun = |stop: &String| {
            let tail = &self.text[self.out..];
            let longest = stop.len().saturating_sub(1).min(tail.len());
            let is_begin = |len: &usize| tail.as_bytes().ends_with(&stop.as_bytes()[..*len]);
            (1..=longest).rev().find(is_begin).unwrap_or(0)
        };
        let held = if self.stopped { 0 } else { self.stop.iter().map(begun).max().unwrap_or(0) };
        let start = std::mem::replace(&mut self.out, self.text.len() - held);
        &self.text[start..self.out]
    }

    /// All that was held back.
    pub fn finish(&mut self) -> &str {
        let start = std::mem::replace(&mut self.out, self.text.len());
        &self.text[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_become_a_stop_string_is_held_back() {
        let stop = ["</s>".to_string(), "END".to_string()];
        let mut stopper = Stopper::new(&stop);
        let mut shown = Vec::new();
        for piece in ["a<", "/b", "</", "s", ">tail"] {
            stopper.push(piece);
            shown.push(stopper.release().to_string());
        }
        assert_eq!(shown, ["a", "</b", "", "", ""]);
        assert_eq!((stopper.text.as_str(), stopper.stopped), ("a</b", true));
        assert_eq!(stopper.finish(), "");
    }

    #[test]
    fn what_did_not_become_a_stop_string_comes_at_the_end() {
        let stop = ["END".to_string()];
        let mut stopper = Stopper::new(&stop);
        stopper.push("xEN");
        assert_eq!(stopper.release(), "x");
        assert_eq!(stopper.finish(), "EN");
    }
}
