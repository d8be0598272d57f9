//! What ranks compute together, on threads; over MPI where this test was started by `mpirun` (`scripts/test-ranks`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor};
use strefer_dist::{Alone, Communicator, Stall, ThreadRank, Watch, Watched, gather_bytes, sum_of};

/// Does `work` on every one of `size` threads.
fn on_threads<T: Send>(size: usize, work: impl Fn(ThreadRank) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            ThreadRank::group(size).into_iter().map(|rank| scope.spawn(|| work(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Values of rank `rank` that round when they are added.
fn values(rank: usize, count: usize) -> Vec<f32> {
    (0..count).map(|at| ((rank * 31 + at * 17) % 101) as f32 * 0.1 + 1e-4).collect()
}

/// Sums, parts and gathers of every kind; gives the sums for comparing bits.
fn check(ranks: &dyn Communicator) -> Result<Vec<f32>> {
    let (rank, size) = (ranks.rank(), ranks.size());
    let count = 12 * size;
    let own = Tensor::new(values(rank, count), &Device::Cpu)?;
    let sums = ranks.all_reduce("values", &own)?.to_vec1::<f32>()?;
    let exact = |at: usize| (0..size).map(|rank| f64::from(values(rank, count)[at])).sum::<f64>();
    for (at, sum) in sums.iter().enumerate() {
        assert!((f64::from(*sum) - exact(at)).abs() < 1e-4, "{at}: {sum} is not {}", exact(at));
    }
    assert_eq!(ranks.all_reduce("values", &own)?.to_vec1::<f32>()?, sums, "the same bits again");
    let part = Tensor::new(&sums[rank * 12..(rank + 1) * 12], &Device::Cpu)?;
    assert_eq!(ranks.all_gather("parts", &part)?.to_vec1::<f32>()?, sums, "the same bits on every rank");
    for dtype in [DType::F64, DType::BF16, DType::F16, DType::U8] {
        let own = Tensor::new(&[rank as f32, 7.0], &Device::Cpu)?.to_dtype(dtype)?;
        let all = ranks.all_gather("pairs", &own)?;
        assert_eq!(all.dtype(), dtype);
        let wanted: Vec<f32> = (0..size).flat_map(|rank| [rank as f32, 7.0]).collect();
        assert_eq!(all.to_dtype(DType::F32)?.to_vec1::<f32>()?, wanted);
    }
    for root in 0..size {
        for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16, DType::U8] {
            let own = Tensor::new(&[rank as f32, 7.0], &Device::Cpu)?.to_dtype(dtype)?;
            let told = ranks.broadcast("pair", &own, root)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            assert_eq!(told, [root as f32, 7.0]);
        }
        let at_root = ranks.reduce("values", &own, root)?;
        assert_eq!(at_root.is_some(), rank == root);
        for sum in at_root.map_or(Ok(Vec::new()), |sums| sums.to_vec1::<f32>())?.iter().enumerate() {
            assert!((f64::from(*sum.1) - exact(sum.0)).abs() < 1e-4);
        }
    }
    assert!(ranks.broadcast("values", &own, size).is_err() && ranks.reduce("values", &own, size).is_err());
    assert_eq!(sum_of(ranks, "counts", [1.0, rank as f64])?, [size as f64, (size * (size - 1) / 2) as f64]);
    let texts: Vec<Vec<u8>> = (0..size).map(|rank| b"strefer"[..rank % 5].to_vec()).collect();
    assert_eq!(gather_bytes(ranks, "texts", &texts[rank])?, texts);
    assert_eq!(gather_bytes(ranks, "nothing", &[])?, vec![Vec::<u8>::new(); size]);
    assert!(ranks.all_reduce("counts", &Tensor::new(&[1u32], &Device::Cpu)?).is_err());
    Ok(sums)
}

#[test]
fn sums_and_gathers_are_right_and_alike_on_every_rank() {
    check(&Alone).unwrap();
    for size in [1, 2, 3, 5] {
        let sums = on_threads(size, |rank| check(&rank).unwrap());
        assert!(sums.iter().all(|other| *other == sums[0]), "{size} ranks");
    }
}

#[test]
fn ranks_that_do_different_things_are_told_so() {
    let errors = on_threads(2, |rank| {
        let own = Tensor::zeros(rank.rank() + 1, DType::F32, &Device::Cpu).unwrap();
        rank.all_reduce("weights", &own).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("weights") && error.contains("[2]")), "{errors:?}");
}

#[test]
fn a_rank_that_waits_too_long_is_named_with_what_it_waits_for() {
    let stalls = Arc::new(Mutex::new(Vec::<Stall>::new()));
    on_threads(2, |rank| {
        let late = rank.rank() == 1;
        let told = Arc::clone(&stalls);
        let on_stall = move |stall: &Stall| told.lock().unwrap().push(stall.clone());
        let limit = if late { Duration::from_secs(600) } else { Duration::from_millis(30) };
        let watch = Watch::new(rank.rank(), rank.size(), limit, on_stall);
        let ranks = Watched::new(Arc::new(rank), watch);
        let own = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        ranks.all_reduce("step 0: first", &own).unwrap();
        while late && stalls.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        ranks.all_reduce("step 1: second", &own).unwrap();
    });
    let stalls = stalls.lock().unwrap();
    let second: Vec<&Stall> = stalls.iter().filter(|stall| stall.what == "step 1: second").collect();
    assert_eq!(second.len(), 1, "{stalls:?}");
    assert_eq!((second[0].rank, second[0].size), (0, 2));
    assert!(
        second[0].to_string().contains("rank 0 of 2") && second[0].to_string().contains("step 1: second")
    );
}

/// Started by `mpirun`, on its own in its process.
#[cfg(feature = "mpi")]
#[test]
#[ignore = "mpirun starts it"]
fn over_mpi() {
    let ranks = strefer_dist::Mpi::start().unwrap();
    assert!(ranks.size() > 1, "mpirun has started one rank only");
    let sums = check(&ranks).unwrap();
    let all = ranks.all_gather("sums", &Tensor::new(sums.clone(), &Device::Cpu).unwrap()).unwrap();
    let all = all.to_vec1::<f32>().unwrap();
    assert!(all.chunks(sums.len()).all(|other| other == sums), "the same bits on every rank");
}
