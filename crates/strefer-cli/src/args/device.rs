//! Where a model runs.

use std::fmt;

use candle_core::Device;
use clap::Args;
use strefer_llm::decoder::Placement;
use strefer_nn::{card_if_available, card_memory, open_card};

/// On which devices a model runs.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// cpu, cuda or cuda:N; several cards by commas share the layers of the language model, in order. The first card where
    /// the program is built for one, otherwise the CPU, when absent
    #[arg(long, value_name = "DEVICE", value_delimiter = ',', value_parser = DeviceName::parse)]
    device: Vec<DeviceName>,
}

/// One device by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceName {
    Cpu,
    Cuda(usize),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceName {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) if let Ok(index) = index.parse() => Ok(Self::Cuda(index)),
            _ => Err("expected cpu, cuda or cuda:N".to_owned()),
        }
    }

    fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                anyhow::bail!("this program is built without CUDA (--features cuda)")
            }
            Self::Cuda(index) => {
                open_card(index).map_err(|error| anyhow::anyhow!("card {index} cannot be used: {error}"))
            }
        }
    }
}

impl DeviceArgs {
    /// The devices in order, the usual one where none is named.
    pub fn placement(&self) -> anyhow::Result<Placement> {
        let mut devices = Vec::with_capacity(self.device.len());
        for (at, name) in self.device.iter().enumerate() {
            anyhow::ensure!(!self.device[..at].contains(name), "--device names {name} twice");
            devices.push(name.open()?);
        }
        if devices.is_empty() {
            devices.push(card_if_available(0)?);
        }
        Ok(Placement::new(devices)?)
    }

    /// Free bytes of the card, where it is in this machine and the program is built for it.
    pub fn free_memory(&self) -> Option<usize> {
        let card = self.of_rank(0).ok().filter(Device::is_cuda)?;
        card_memory(&card).ok().flatten().map(|memory| memory.free)
    }

    /// Whether it is a card, which need not be in this machine.
    pub fn is_card(&self) -> bool {
        match self.device.first() {
            Some(name) => *name != DeviceName::Cpu,
            None => candle_core::utils::cuda_is_available(),
        }
    }

    /// The device of one rank, where there can be but one: where none is named, the card of its number on its machine.
    pub fn of_rank(&self, local_rank: usize) -> anyhow::Result<Device> {
        anyhow::ensure!(
            self.device.len() < 2,
            "training runs on one device, --device names {}",
            self.device.len()
        );
        if self.device.is_empty() {
            return Ok(card_if_available(local_rank)?);
        }
        Ok(self.placement()?.first().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        assert_eq!(DeviceName::parse("cpu"), Ok(DeviceName::Cpu));
        assert_eq!(DeviceName::parse("cuda"), Ok(DeviceName::Cuda(0)));
        assert_eq!(DeviceName::parse("cuda:3"), Ok(DeviceName::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"] {
            assert!(DeviceName::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_device_is_named_once() {
        let args = DeviceArgs { device: vec![DeviceName::Cpu, DeviceName::Cpu] };
        assert!(args.placement().unwrap_err().to_string().contains("names cpu twice"));
        assert!(args.of_rank(0).unwrap_err().to_string().contains("one device"));
        let cpu = DeviceArgs { device: vec![DeviceName::Cpu] };
        assert!(cpu.of_rank(1).unwrap().is_cpu() && !cpu.is_card());
        assert!(DeviceArgs { device: vec![DeviceName::Cuda(1)] }.is_card());
    }
}
