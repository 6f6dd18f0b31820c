//! The distributions that the sketch is judged on, and the rank error of an answer. Seeded: the same on every machine.

#![allow(dead_code)] // each test and benchmark uses its part

/// SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A named source of values.
pub struct Distribution {
    pub name: &'static str,
    /// Whether values practically never repeat.
    pub continuous: bool,
    draw: fn(&mut Random) -> f64,
}

impl Distribution {
    pub fn sample(&self, seed: u64, length: usize) -> Vec<f64> {
        let mut random = Random(seed);
        (0..length).map(|_| (self.draw)(&mut random)).collect()
    }
}

const fn distribution(name: &'static str, continuous: bool, draw: fn(&mut Random) -> f64) -> Distribution {
    Distribution { name, continuous, draw }
}

fn rounded(value: f64, steps_per_unit: f64) -> f64 {
    (value * steps_per_unit).round() / steps_per_unit
}

pub const DISTRIBUTIONS: [Distribution; 12] = [
    distribution("normal", true, |random| random.normal()),
    distribution("lognormal", true, |random| random.normal().exp()),
    distribution("Pareto, shape 1.5", true, |random| random.uniform().powf(-1.0 / 1.5)),
    distribution("bimodal", true, |random| random.normal() * 0.5 + if random.below(2) == 0 { 10.0 } else { 20.0 }),
    distribution("295 K ± 0.5", true, |random| 295.0 + 0.5 * random.normal()),
    distribution("1e9 ± 1", true, |random| 1e9 + random.normal()),
    distribution("mixed signs, heavy tails", true, |random| {
        random.normal() / random.uniform() * if random.below(2) == 0 { 1.0 } else { 1e-3 }
    }),
    distribution("uniform", true, |random| random.uniform() * 100.0),
    distribution("normal, one value of 1e100", true, |random| random.normal()),
    distribution("12-bit ADC", false, |random| (2_000.0 + 400.0 * random.normal()).round().clamp(0.0, 4_095.0)),
    distribution("21.50 °C ± 0.30, 2 decimals", false, |random| rounded(21.5 + 0.3 * random.normal(), 100.0)),
    distribution("50 % ± 15, 1 decimal", false, |random| rounded(50.0 + 15.0 * random.normal(), 10.0)),
];

/// The sample of a distribution; the one with an outlier gets it in the middle.
pub fn sample(distribution: &Distribution, seed: u64, length: usize) -> Vec<f64> {
    let mut values = distribution.sample(seed, length);
    if distribution.name.contains("1e100") {
        values[length / 2] = 1e100;
    }
    values
}

/// How far the rank asked for lies from the ranks that `answer` has among the sorted values, as a share of the count.
pub fn rank_error(sorted: &[f64], q: f64, answer: f64) -> f64 {
    let below = sorted.partition_point(|value| *value < answer) as f64;
    let at_most = sorted.partition_point(|value| *value <= answer) as f64;
    // Of n values, the one at (n − 1)·q from 0 covers the ranks from (n − 1)·q to (n − 1)·q + 1.
    let position = (sorted.len() - 1) as f64 * q;
    let error = (below - (position + 1.0)).max(position - at_most).max(0.0);
    error / sorted.len() as f64
}
