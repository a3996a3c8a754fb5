//! Histograms as the text that other tools of the HdrHistogram family read and draw.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Writes a histogram in the percentile text format of HdrHistogram (`.hgrm`), values divided by
/// `unit` (1,000 makes ms of us), with `ticks_per_half` reporting points in each halving of the
/// distance to 100 %. Other tools of the family write 5.
///
/// # Errors
/// What the writer answers.
pub fn write_hgrm(
    out: &mut impl Write,
    histogram: &Histogram<u64>,
    unit: f64,
    ticks_per_half: u32,
) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in histogram.iter_quantiles(ticks_per_half) {
        let value = histogram.highest_equivalent(step.value_iterated_to()) as f64 / unit;
        let quantile = step.quantile_iterated_to();
        count += step.count_since_last_iteration();
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(
                out,
                "{value:12.3} {quantile:2.12} {count:10} {inverse:14.2}"
            )?;
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {count:10}")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    )?;
    let (max, total) = (histogram.max() as f64 / unit, histogram.len());
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {total:12}]")?;
    let (buckets, sub_buckets) = layout(histogram);
    writeln!(
        out,
        "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]"
    )
}

/// Buckets and sub-buckets, as the format's last line states them.
fn layout(histogram: &Histogram<u64>) -> (u32, u64) {
    // Twice the power of ten of the digits, rounded up to a power of two.
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let mut buckets = 1;
    let mut reach = sub_buckets;
    while reach <= histogram.high() {
        reach = reach.saturating_mul(2);
        buckets += 1;
    }
    (buckets, sub_buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hgrm_has_its_header_rows_and_footer() {
        let mut h = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        for us in 1..=1_000 {
            h.record(us).unwrap();
        }
        let mut text = Vec::new();
        write_hgrm(&mut text, &h, 1_000.0, 5).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(lines[1], "");
        assert_eq!(
            lines[2],
            "       0.001 0.000000000000          1           1.00"
        );
        assert!(
            text.contains("       0.500 0.500000000000        500           2.00\n"),
            "{text}"
        );
        assert!(text.contains("       1.000 1.000000000000       1000\n"));
        assert!(
            text.ends_with("#[Buckets =           16, SubBuckets     =         2048]\n"),
            "{text}"
        );
    }
}
