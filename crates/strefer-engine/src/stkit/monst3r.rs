//! Reads what [MonST3R](https://arxiv.org/abs/2410.03825) writes about a video: cameras and depth, up to one scale.

use std::path::Path;

use crate::error::{Error, Result};
use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::depth::Raster;
use crate::stkit::fault::Fault;

/// Cameras of `pred_traj.txt`, one a line: number of the frame, position, quaternion with the scalar part first.
///
/// # Errors
/// The file cannot be read; a line that is no pose, by its number.
pub fn poses(path: &Path) -> Result<Vec<Pose>> {
    let pose = |[_, x, y, z, qw, qx, qy, qz]: [f64; 8]| Pose::from_quaternion([qw, qx, qy, qz], [x, y, z]);
    read_lines(path, pose)
}

/// Cameras of `pred_intrinsics.txt`, one a line: a 3x3 matrix, rows first, in pixels of the depth maps.
///
/// # Errors
/// The file cannot be read; a line that is no camera, by its number.
pub fn intrinsics(path: &Path) -> Result<Vec<Pinhole>> {
    read_lines(path, |[a, b, c, d, e, f, g, h, i]: [f64; 9]| {
        Pinhole::from_matrix(&[[a, b, c], [d, e, f], [g, h, i]])
    })
}

/// Seconds, one a line.
///
/// # Errors
/// The file cannot be read; a line that is no number.
pub fn times(path: &Path) -> Result<Vec<f64>> {
    read_lines(path, |[at_s]: [f64; 1]| Ok(at_s))
}

/// A map of `frame_*.npy` or `conf_*.npy`: 32-bit floats, `(h, w)`, rows first.
///
/// # Errors
/// The file cannot be read or is no such array.
pub fn raster(path: &Path) -> Result<Raster> {
    let bytes = read(path)?;
    let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
    let (header, data) = split_npy(&bytes).ok_or_else(|| bad("no NumPy array of version 1".to_owned()))?;
    let is_plain = header.contains("'<f4'") && header.contains("'fortran_order': False");
    let shape = shape(header).filter(|_| is_plain);
    let (height, width) =
        shape.ok_or_else(|| bad(format!("{} is no map of 32-bit floats, rows first", header.trim())))?;
    let (floats, rest) = data.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(bad(format!("{} bytes are no 32-bit floats", data.len())));
    }
    let values = floats.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
    Raster::new(height, width, values).map_err(|fault| bad(fault.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// `N` numbers a line, separated by blanks; empty lines are skipped.
fn read_lines<const N: usize, T>(
    path: &Path,
    make: impl Fn([f64; N]) -> std::result::Result<T, Fault>,
) -> Result<Vec<T>> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut made = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |reason: String| Error::BadFile {
            path: path.to_owned(),
            reason: format!("line {}: {reason}", at + 1),
        };
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let words = line.split_whitespace().count();
        let numbers: [f64; N] = numbers
            .try_into()
            .ok()
            .filter(|_| words == N)
            .ok_or_else(|| bad(format!("expected {N} numbers")))?;
        made.push(make(numbers).map_err(|fault| bad(fault.to_string()))?);
    }
    Ok(made)
}

/// Header and data of an array file.
fn split_npy(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?.split_first_chunk::<2>()?;
    let (header, data) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// `(h, w)` of a header.
fn shape(header: &str) -> Option<(usize, usize)> {
    let (_, rest) = header.split_once("'shape': (")?;
    let (inside, _) = rest.split_once(')')?;
    let (height, width) = inside.split_once(',')?;
    Some((height.trim().parse().ok()?, width.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recorded");
        std::fs::write(&path, content).unwrap();
        (dir, path)
    }

    fn npy(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn quaternions_of_trajectories_begin_with_the_scalar_part() {
        let (_dir, path) = file(b"0.0 1 2 3 1 0 0 0\n1.0 1 2 3 0 1 0 0\n\n");
        let poses = poses(&path).unwrap();
        assert_eq!(poses[0].to_world([0.0, 5.0, 0.0], 2.0), [2.0, 9.0, 6.0]);
        // Half a turn about x.
        assert_eq!(poses[1].to_world([0.0, 5.0, 0.0], 2.0), [2.0, -1.0, 6.0]);
        assert_eq!(poses.len(), 2);
    }

    #[test]
    fn intrinsics_are_matrices_in_rows() {
        let (_dir, path) = file(b"2 0 4 0 4 3 0 0 1\n");
        assert_eq!(intrinsics(&path).unwrap()[0].unproject(5, 6, 10.0), [10.0, 5.0, 10.0]);
    }

    #[test]
    fn lines_that_cannot_be_used_are_named() {
        for (content, reason) in [
            ("0 1 2 3 1 0 0\n", "line 1: expected 8 numbers"),
            ("0 1 2 3 1 0 0 0\n0 1 2 3 1 0 zero 0\n", "line 2: expected 8 numbers"),
            ("0 1 2 3 1 0 0 0 x\n", "line 1: expected 8 numbers"),
            ("0 1 2 3 0 0 0 0\n", "line 1: camera: a matrix that is no rotation"),
        ] {
            let (_dir, path) = file(content.as_bytes());
            assert!(poses(&path).unwrap_err().to_string().ends_with(reason), "{reason}");
        }
        assert!(matches!(poses(Path::new("nowhere/pred_traj.txt")), Err(Error::Io { .. })));
    }

    #[test]
    fn maps_are_read_in_rows() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        let (_dir, path) = file(&npy(header, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.5]));
        let read = raster(&path).unwrap();
        assert_eq!((read.size(), read.values()[5]), ((2, 3), 5.5));
    }

    #[test]
    fn other_arrays_are_refused() {
        let plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        let mut cut = npy(plain, &[0.0; 6]);
        cut.pop();
        let contents = [
            npy(plain, &[0.0; 5]),
            cut,
            npy(&plain.replace("<f4", "<f8"), &[0.0; 12]),
            npy(&plain.replace("False", "True"), &[0.0; 6]),
            npy(&plain.replace("(2, 3)", "(6,)"), &[0.0; 6]),
            b"\x93NUMPY\x02\x00".to_vec(),
            b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(),
            Vec::new(),
        ];
        for content in contents {
            let (_dir, path) = file(&content);
            assert!(matches!(raster(&path), Err(Error::BadFile { .. })));
        }
    }
}
