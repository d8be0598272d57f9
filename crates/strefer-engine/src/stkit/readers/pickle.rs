//! Lists of numbers as Python pickles them. nuPlan keeps a camera's measures so.

/// The numbers of a pickled list, of lists inside it in their order, or of a JSON list; `None` for anything else. Nothing that a pickle
/// could ask to be run is understood.
pub(super) fn numbers(bytes: &[u8]) -> Option<Vec<f64>> {
    if bytes.first() != Some(&0x80) {
        return flat(&serde_json::from_slice(bytes).ok()?);
    }
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let (&op, after) = rest.split_first()?;
        rest = after;
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            Some(taken)
        };
        match op {
            // Protocol, and the length of what follows.
            0x80 => drop(take(1)?),
            0x95 => drop(take(8)?),
            // Lists and tuples begin and end, and are remembered: their order is that of the numbers.
            b']' | b'(' | b'e' | b'a' | b')' | b't' | 0x85..=0x87 | 0x94 => {}
            b'q' => drop(take(1)?),
            b'r' => drop(take(4)?),
            b'G' => found.push(f64::from_be_bytes(take(8)?.try_into().ok()?)),
            b'J' => found.push(i32::from_le_bytes(take(4)?.try_into().ok()?).into()),
            b'K' => found.push(take(1)?[0].into()),
            b'M' => found.push(u16::from_le_bytes(take(2)?.try_into().ok()?).into()),
            b'.' => return Some(found),
            _ => return None,
        }
    }
}

fn flat(value: &serde_json::Value) -> Option<Vec<f64>> {
    match value {
        serde_json::Value::Array(items) => {
            let parts = items.iter().map(flat).collect::<Option<Vec<Vec<f64>>>>()?;
            Some(parts.concat())
        }
        number => Some(vec![number.as_f64()?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_of_nested_lists_are_read_in_order() {
        // pickle.dumps([[1.5, 2], [300, -1.0]], protocol=4)
        let bytes = b"\x80\x04\x95\x22\x00\x00\x00\x00\x00\x00\x00]\x94(]\x94(G?\xf8\x00\x00\x00\x00\x00\x00K\x02e]\x94(M,\x01\
            G\xbf\xf0\x00\x00\x00\x00\x00\x00ee.";
        assert_eq!(numbers(bytes), Some(vec![1.5, 2.0, 300.0, -1.0]));
        // pickle.dumps([0.25, -70000], protocol=3)
        let bytes = b"\x80\x03]q\x00(G?\xd0\x00\x00\x00\x00\x00\x00J\x90\xee\xfe\xffe.";
        assert_eq!(numbers(bytes), Some(vec![0.25, -70000.0]));
        assert_eq!(numbers(b"[[1, 2.5], [3]]"), Some(vec![1.0, 2.5, 3.0]));
    }

    #[test]
    fn anything_else_is_refused() {
        // pickle.dumps(print): a name that would be looked up.
        for bytes in
            [b"\x80\x03cbuiltins\nprint\nq\x00.".as_slice(), b"\x80\x04G\x00", b"", b"{}", b"\x80\x04]\x94"]
        {
            assert_eq!(numbers(bytes), None);
        }
    }
}
