//! What two texts share, from a few numbers of each: MinHash (Broder 1997).
//!
//! The share of equal numbers in two signatures estimates the Jaccard similarity of the sets of
//! shingles. The numbers are made by throwing each shingle into one of 128 bins, in rounds, until
//! every bin has one (fast similarity sketching, Dahlgaard et al. 2017): a bin keeps the smallest
//! value of the first round that reaches it. So a long text costs one throw a shingle and a short one
//! no more than a few hundred in all, and even a text of few shingles has 128 independent numbers.
//!
//! 128 separate permutations would take 128 multiplications a shingle. One permutation with
//! densification throws each shingle once, but its empty bins copy full ones, so that the estimates
//! of short texts, which are the rule here, rest on fewer samples. The three have not been timed.

/// Numbers in a signature.
pub const BINS: usize = 128;

/// One number for each bin.
pub type Signature = [u32; BINS];

/// The signature of a set of shingles, or `None` of an empty one.
pub fn signature(shingles: &[u64]) -> Option<Signature> {
    if shingles.is_empty() {
        return None;
    }
    let mut bins = [u32::MAX; BINS];
    for &shingle in shingles {
        let (bin, value) = throw(shingle);
        bins[bin] = bins[bin].min(value);
    }
    let mut empty: u128 = mask(&bins);
    let mut factor = 1_u64;
    for round in 1..2 * BINS {
        if empty == 0 {
            break;
        }
        factor = factor.wrapping_mul(STEP);
        for &shingle in shingles {
            let (bin, value) = throw(shingle.wrapping_mul(factor));
            // In the second half each round is for one bin, so that none stays empty.
            let bin = if round < BINS { bin } else { round - BINS };
            if empty >> bin & 1 == 1 {
                bins[bin] = bins[bin].min(value);
            }
        }
        empty = mask(&bins);
    }
    Some(bins)
}

/// Odd, so that no bit of a shingle is lost from round to round.
const STEP: u64 = 0xA24B_AED4_963E_E407;

/// The bin that a hash falls into, and its value there, which is less than that of an empty bin.
#[inline]
fn throw(hash: u64) -> (usize, u32) {
    let hash = hash ^ hash >> 32;
    let hash = hash.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    ((hash >> 57) as usize, (hash >> 25) as u32 >> 1)
}

/// The bins that are empty.
fn mask(bins: &Signature) -> u128 {
    bins.iter()
        .rev()
        .fold(0, |mask, &value| mask << 1 | u128::from(value == u32::MAX))
}

/// Bits that a sketch keeps of each number.
const BITS: usize = 3;

/// The low bits of a signature (b-bit MinHash, Li & König 2010), one plane a bit; 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sketch([[u64; 2]; BITS]);

impl Sketch {
    /// Keeps of a signature what comparing takes.
    pub fn of(signature: &Signature) -> Self {
        let mut planes = [[0; 2]; BITS];
        for (bin, &value) in signature.iter().enumerate() {
            for (bit, plane) in planes.iter_mut().enumerate() {
                plane[bin / 64] |= u64::from(value >> bit & 1) << (bin % 64);
            }
        }
        Self(planes)
    }

    /// The estimated Jaccard similarity; its standard error is 0.04 at 0.8.
    pub fn similarity(&self, other: &Self) -> f64 {
        // Two numbers that differ still agree in their low bits once in eight times.
        const CHANCE: f64 = 1.0 / (1 << BITS) as f64;
        let mut different = [0; 2];
        for (a, b) in self.0.iter().zip(&other.0) {
            different[0] |= a[0] ^ b[0];
            different[1] |= a[1] ^ b[1];
        }
        let differing = different[0].count_ones() + different[1].count_ones();
        let equal = 1.0 - f64::from(differing) / BINS as f64;
        ((equal - CHANCE) / (1.0 - CHANCE)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::words::mix;

    /// Two sets of `size` shingles that share `shared` of them.
    fn pair(seed: u64, size: u64, shared: u64) -> (Vec<u64>, Vec<u64>) {
        let shingle = |number| mix(mix(seed) ^ number);
        let left = (0..size).map(shingle).collect();
        let right = (size - shared..2 * size - shared).map(shingle).collect();
        (left, right)
    }

    #[test]
    fn the_estimate_is_unbiased_for_sets_of_any_size() {
        for (size, shared) in [
            (3, 2),
            (10, 9),
            (50, 40),
            (100, 50),
            (400, 300),
            (2000, 200),
        ] {
            let exact = shared as f64 / (2 * size - shared) as f64;
            let (mut sum, mut squares) = (0.0, 0.0);
            let trials = 400;
            for seed in 0..trials {
                let (left, right) = pair(seed, size, shared);
                let [left, right] = [left, right].map(|set| Sketch::of(&signature(&set).unwrap()));
                let fault = left.similarity(&right) - exact;
                sum += fault;
                squares += fault * fault;
            }
            let (bias, error) = (sum / trials as f64, (squares / trials as f64).sqrt());
            assert!(bias.abs() < 0.012, "{size} {shared}: bias {bias}");
            assert!(error < 0.06, "{size} {shared}: error {error}");
        }
    }

    #[test]
    fn equal_sets_have_equal_signatures_in_any_order() {
        let (mut left, _) = pair(1, 40, 0);
        let before = signature(&left);
        left.reverse();
        left.push(left[3]);
        assert_eq!(signature(&left), before);
        assert_eq!(signature(&[]), None);
        assert!(
            signature(&[7])
                .unwrap()
                .iter()
                .all(|&value| value < u32::MAX)
        );
    }
}
