//! NIST Statistical Reference Datasets, univariate summary statistics (National Institute of Standards and Technology,
//! StRD): certified mean and sample standard deviation, and how many of their digits come out.
//!
//! `cargo test -p statistics nist -- --nocapture` prints the table of docs/statistics.md.

use statistics::Moments;

/// A dataset, its certified values, and the digits of the deviation that its numbers, once rounded to doubles, allow.
struct Dataset {
    name: &'static str,
    values: Vec<f64>,
    mean: f64,
    standard_deviation: f64,
    least_digits: f64,
}

/// The first 5,000 decimal digits of π, by the spigot of S. Rabinowitz and S. Wagon (American Mathematical Monthly 102,
/// 1995).
fn digits_of_pi(count: usize) -> Vec<f64> {
    let mut remainders = vec![2u64; count * 10 / 3 + 30];
    let mut digits: Vec<u64> = Vec::new();
    while digits.len() < count + 5 {
        let mut carry = 0;
        for index in (0..remainders.len()).rev() {
            let value = remainders[index] * 10 + carry;
            let divisor = if index == 0 { 10 } else { 2 * index as u64 + 1 };
            remainders[index] = value % divisor;
            carry = value / divisor * if index == 0 { 1 } else { index as u64 };
        }
        digits.push(carry);
        let mut place = digits.len() - 1;
        while digits[place] > 9 {
            digits[place] -= 10;
            place -= 1;
            digits[place] += 1;
        }
    }
    digits.truncate(count);
    digits.into_iter().map(|digit| digit as f64).collect()
}

/// PiDigits: 5,000 digits of π, one 8 of which stands as a 3. The certified values say so: they are those of digits that
/// sum to 22,674 and their squares to 143,922, where π's own give 22,679 and 143,977. Neither depends on which 8 it is.
fn pi_digits() -> Vec<f64> {
    let mut digits = digits_of_pi(5_000);
    let sums = |digits: &[f64]| (digits.iter().sum::<f64>(), digits.iter().map(|digit| digit * digit).sum::<f64>());
    assert_eq!(sums(&digits), (22_679.0, 143_977.0));
    if let Some(eight) = digits.iter_mut().find(|digit| **digit == 8.0) {
        *eight = 3.0;
    }
    digits
}

/// NumAcc2 to 4: a middle value once, then two values about it 500 times in turn.
fn accuracy(middle: f64, low: f64, high: f64) -> Vec<f64> {
    std::iter::once(middle).chain((0..1_000).map(|index| if index % 2 == 0 { low } else { high })).collect()
}

fn datasets() -> Vec<Dataset> {
    let dataset = |name, values: &[f64], mean, standard_deviation, least_digits| Dataset {
        name,
        values: values.to_vec(),
        mean,
        standard_deviation,
        least_digits,
    };
    vec![
        dataset("PiDigits", &pi_digits(), 4.534_8, 2.867_339_060_288_71, 14.0),
        dataset("Lottery", &LOTTERY, 518.958_715_596_330, 291.699_727_470_969, 14.0),
        dataset("Lew", &LEW, -177.435, 277.332_168_044_316, 14.0),
        dataset("Mavro", &MAVRO, 2.001_856, 0.000_429_123_454_003_053, 13.0),
        dataset("Michelso", &MICHELSO, 299.852_4, 0.079_010_547_819_051_8, 13.0),
        dataset("NumAcc1", &[10_000_001.0, 10_000_003.0, 10_000_002.0], 10_000_002.0, 1.0, 15.0),
        dataset("NumAcc2", &accuracy(1.2, 1.1, 1.3), 1.2, 0.1, 14.0),
        dataset("NumAcc3", &accuracy(1_000_000.2, 1_000_000.1, 1_000_000.3), 1_000_000.2, 0.1, 9.0),
        dataset("NumAcc4", &accuracy(10_000_000.2, 10_000_000.1, 10_000_000.3), 10_000_000.2, 0.1, 8.0),
    ]
}

/// NIST's log relative error, where exact is 15: the certified values have no more.
fn correct_digits(actual: f64, certified: f64) -> f64 {
    if actual == certified { 15.0 } else { (-((actual - certified) / certified).abs().log10()).min(15.0) }
}

/// Each batch value by value, and the batches merged.
fn moments_of(values: &[f64], batch: usize) -> Moments {
    let mut moments = Moments::default();
    for batch in values.chunks(batch) {
        let mut one = Moments::default();
        batch.iter().for_each(|value| one.push(*value));
        moments.merge(&one);
    }
    moments
}

#[test]
fn the_certified_digits_come_out_value_by_value_and_in_batches() {
    println!("| dataset | n | mean | standard deviation | goal |\n|---|---|---|---|---|");
    for dataset in datasets() {
        let mut worst = (15.0f64, 15.0f64);
        for batch in [1, 7, 100, 10_000] {
            let moments = moments_of(&dataset.values, batch);
            let mean = correct_digits(moments.mean().unwrap(), dataset.mean);
            let deviation = correct_digits(moments.standard_deviation().unwrap(), dataset.standard_deviation);
            worst = (worst.0.min(mean), worst.1.min(deviation));
        }
        let (name, count, goal) = (dataset.name, dataset.values.len(), dataset.least_digits);
        println!("| {name} | {count} | {:.1} | {:.1} | {goal} |", worst.0, worst.1);
        assert!(worst.0 >= 15.0 - 0.05, "{name}: {:.2} digits of the mean", worst.0);
        assert!(worst.1 >= goal, "{name}: {:.2} digits of the standard deviation", worst.1);
    }
}

#[rustfmt::skip]
const LEW: [f64; 200] = [
    -213.0, -564.0, -35.0, -15.0, 141.0, 115.0, -420.0, -360.0, 203.0, -338.0, -431.0, 194.0, -220.0, -513.0, 154.0,
    -125.0, -559.0, 92.0, -21.0, -579.0, -52.0, 99.0, -543.0, -175.0, 162.0, -457.0, -346.0, 204.0, -300.0, -474.0,
    164.0, -107.0, -572.0, -8.0, 83.0, -541.0, -224.0, 180.0, -420.0, -374.0, 201.0, -236.0, -531.0, 83.0, 27.0,
    -564.0, -112.0, 131.0, -507.0, -254.0, 199.0, -311.0, -495.0, 143.0, -46.0, -579.0, -90.0, 136.0, -472.0,
    -338.0, 202.0, -287.0, -477.0, 169.0, -124.0, -568.0, 17.0, 48.0, -568.0, -135.0, 162.0, -430.0, -422.0, 172.0,
    -74.0, -577.0, -13.0, 92.0, -534.0, -243.0, 194.0, -355.0, -465.0, 156.0, -81.0, -578.0, -64.0, 139.0, -449.0,
    -384.0, 193.0, -198.0, -538.0, 110.0, -44.0, -577.0, -6.0, 66.0, -552.0, -164.0, 161.0, -460.0, -344.0, 205.0,
    -281.0, -504.0, 134.0, -28.0, -576.0, -118.0, 156.0, -437.0, -381.0, 200.0, -220.0, -540.0, 83.0, 11.0, -568.0,
    -160.0, 172.0, -414.0, -408.0, 188.0, -125.0, -572.0, -32.0, 139.0, -492.0, -321.0, 205.0, -262.0, -504.0,
    142.0, -83.0, -574.0, 0.0, 48.0, -571.0, -106.0, 137.0, -501.0, -266.0, 190.0, -391.0, -406.0, 194.0, -186.0,
    -553.0, 83.0, -13.0, -577.0, -49.0, 103.0, -515.0, -280.0, 201.0, 300.0, -506.0, 131.0, -45.0, -578.0, -80.0,
    138.0, -462.0, -361.0, 201.0, -211.0, -554.0, 32.0, 74.0, -533.0, -235.0, 187.0, -372.0, -442.0, 182.0, -147.0,
    -566.0, 25.0, 68.0, -535.0, -244.0, 194.0, -351.0, -463.0, 174.0, -125.0, -570.0, 15.0, 72.0, -550.0, -190.0,
    172.0, -424.0, -385.0, 198.0, -218.0, -536.0, 96.0,
];

#[rustfmt::skip]
const LOTTERY: [f64; 218] = [
    162.0, 671.0, 933.0, 414.0, 788.0, 730.0, 817.0, 33.0, 536.0, 875.0, 670.0, 236.0, 473.0, 167.0, 877.0, 980.0,
    316.0, 950.0, 456.0, 92.0, 517.0, 557.0, 956.0, 954.0, 104.0, 178.0, 794.0, 278.0, 147.0, 773.0, 437.0, 435.0,
    502.0, 610.0, 582.0, 780.0, 689.0, 562.0, 964.0, 791.0, 28.0, 97.0, 848.0, 281.0, 858.0, 538.0, 660.0, 972.0,
    671.0, 613.0, 867.0, 448.0, 738.0, 966.0, 139.0, 636.0, 847.0, 659.0, 754.0, 243.0, 122.0, 455.0, 195.0, 968.0,
    793.0, 59.0, 730.0, 361.0, 574.0, 522.0, 97.0, 762.0, 431.0, 158.0, 429.0, 414.0, 22.0, 629.0, 788.0, 999.0,
    187.0, 215.0, 810.0, 782.0, 47.0, 34.0, 108.0, 986.0, 25.0, 644.0, 829.0, 630.0, 315.0, 567.0, 919.0, 331.0,
    207.0, 412.0, 242.0, 607.0, 668.0, 944.0, 749.0, 168.0, 864.0, 442.0, 533.0, 805.0, 372.0, 63.0, 458.0, 777.0,
    416.0, 340.0, 436.0, 140.0, 919.0, 350.0, 510.0, 572.0, 905.0, 900.0, 85.0, 389.0, 473.0, 758.0, 444.0, 169.0,
    625.0, 692.0, 140.0, 897.0, 672.0, 288.0, 312.0, 860.0, 724.0, 226.0, 884.0, 508.0, 976.0, 741.0, 476.0, 417.0,
    831.0, 15.0, 318.0, 432.0, 241.0, 114.0, 799.0, 955.0, 833.0, 358.0, 935.0, 146.0, 630.0, 830.0, 440.0, 642.0,
    356.0, 373.0, 271.0, 715.0, 367.0, 393.0, 190.0, 669.0, 8.0, 861.0, 108.0, 795.0, 269.0, 590.0, 326.0, 866.0,
    64.0, 523.0, 862.0, 840.0, 219.0, 382.0, 998.0, 4.0, 628.0, 305.0, 747.0, 247.0, 34.0, 747.0, 729.0, 645.0,
    856.0, 974.0, 24.0, 568.0, 24.0, 694.0, 608.0, 480.0, 410.0, 729.0, 947.0, 293.0, 53.0, 930.0, 223.0, 203.0,
    677.0, 227.0, 62.0, 455.0, 387.0, 318.0, 562.0, 242.0, 428.0, 968.0,
];

#[rustfmt::skip]
const MAVRO: [f64; 50] = [
    2.00180, 2.00170, 2.00180, 2.00190, 2.00180, 2.00170, 2.00150, 2.00140, 2.00150, 2.00150, 2.00170, 2.00180,
    2.00180, 2.00190, 2.00190, 2.00210, 2.00200, 2.00160, 2.00140, 2.00130, 2.00130, 2.00150, 2.00150, 2.00160,
    2.00150, 2.00140, 2.00130, 2.00140, 2.00150, 2.00140, 2.00150, 2.00160, 2.00150, 2.00160, 2.00190, 2.00200,
    2.00200, 2.00210, 2.00220, 2.00230, 2.00240, 2.00250, 2.00270, 2.00260, 2.00260, 2.00260, 2.00270, 2.00260,
    2.00250, 2.00240,
];

#[rustfmt::skip]
const MICHELSO: [f64; 100] = [
    299.85, 299.74, 299.90, 300.07, 299.93, 299.85, 299.95, 299.98, 299.98, 299.88, 300.00, 299.98, 299.93, 299.65,
    299.76, 299.81, 300.00, 300.00, 299.96, 299.96, 299.96, 299.94, 299.96, 299.94, 299.88, 299.80, 299.85, 299.88,
    299.90, 299.84, 299.83, 299.79, 299.81, 299.88, 299.88, 299.83, 299.80, 299.79, 299.76, 299.80, 299.88, 299.88,
    299.88, 299.86, 299.72, 299.72, 299.62, 299.86, 299.97, 299.95, 299.88, 299.91, 299.85, 299.87, 299.84, 299.84,
    299.85, 299.84, 299.84, 299.84, 299.89, 299.81, 299.81, 299.82, 299.80, 299.77, 299.76, 299.74, 299.75, 299.76,
    299.91, 299.92, 299.89, 299.86, 299.88, 299.72, 299.84, 299.85, 299.85, 299.78, 299.89, 299.84, 299.78, 299.81,
    299.76, 299.81, 299.79, 299.81, 299.82, 299.85, 299.87, 299.87, 299.81, 299.74, 299.81, 299.94, 299.95, 299.80,
    299.81, 299.87,
];
