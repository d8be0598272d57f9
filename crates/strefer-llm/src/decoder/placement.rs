//! Which device holds which layers.

use candle_core::{Device, Result, bail};

/// Devices that share one model: each holds equally many layers, in order. The first has the embeddings and all that
/// stands before them, the last the final norm and the output matrix, but for one that is tied to the embeddings.
#[derive(Debug, Clone)]
pub struct Placement(Vec<Device>);

impl Placement {
    /// Devices in the order of their layers.
    ///
    /// # Errors
    /// There is none.
    pub fn new(devices: Vec<Device>) -> Result<Self> {
        if devices.is_empty() {
            bail!("a model needs a device");
        }
        Ok(Self(devices))
    }

    /// The device of the embeddings.
    pub fn first(&self) -> &Device {
        &self.0[0]
    }

    /// The device of the final norm.
    pub(super) fn last(&self) -> &Device {
        &self.0[self.0.len() - 1]
    }

    /// The device of layer `at` of `layers`.
    pub(super) fn of_layer(&self, at: usize, layers: usize) -> &Device {
        &self.0[owner(at, layers, self.0.len())]
    }
}

impl From<&Device> for Placement {
    fn from(device: &Device) -> Self {
        Self(vec![device.clone()])
    }
}

/// The device, of so many, that holds layer `at`.
fn owner(at: usize, layers: usize, devices: usize) -> usize {
    at * devices / layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_hold_equally_many_layers_in_order() {
        let owners = |layers, devices| (0..layers).map(|at| owner(at, layers, devices)).collect::<Vec<_>>();
        assert_eq!(owners(6, 1), [0; 6]);
        assert_eq!(owners(6, 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(owners(7, 3), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(owners(2, 4), [0, 2]);
        for (layers, devices) in [(28, 8), (32, 3), (5, 5)] {
            let counts =
                (0..devices).map(|at| owners(layers, devices).iter().filter(|&&owner| owner == at).count());
            let counts: Vec<usize> = counts.collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn no_device_is_refused() {
        assert!(Placement::new(Vec::new()).is_err());
    }
}
