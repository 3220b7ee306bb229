//! The published comparison as a picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use truechimer_tests::sim::report::Readable;

use crate::published::{CASES, JITTERS, Outcome};

const SIZE: (u32, u32) = (1_000, 1_100);
const CHRONY: RGBColor = RGBColor(0xd6, 0x27, 0x28);
const TARGET: RGBColor = RGBColor(0x99, 0x99, 0x99);
const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);

/// Draws the error over the jitter for each case, beside chrony's and the target, as SVG.
pub fn draw(path: &Path, outcomes: &[[Outcome; 4]], seeds: u64) -> Result<()> {
    try_draw(path, outcomes, seeds).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn try_draw(
    path: &Path,
    outcomes: &[[Outcome; 4]],
    seeds: u64,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("RMS error over network jitter, mean of {seeds} worlds");
    let panels = root.titled(&title, ("sans-serif", 20))?.split_evenly((3, 2));
    for ((case, outcomes), panel) in CASES.iter().zip(outcomes).zip(&panels) {
        let ours = outcomes.map(|outcome| outcome.rms);
        let target = std::array::from_fn(|place| case.chrony[place] * case.target[place]);
        let curves: [(&str, RGBColor, [f64; 4]); 3] = [
            ("chrony", CHRONY, case.chrony),
            ("target", TARGET, target),
            ("truechimer", OURS, ours),
        ];
        let all = || curves.iter().flat_map(|(.., errors)| *errors);
        let (least, greatest) = all().fold((f64::INFINITY, 0.0f64), |(least, greatest), error| {
            (least.min(error), greatest.max(error))
        });
        let mut chart = ChartBuilder::on(panel)
            .caption(case.name, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(76)
            .build_cartesian_2d(
                (JITTERS[0]..JITTERS[3]).log_scale(),
                (least / 1.5..greatest * 1.5).log_scale(),
            )?;
        let readable = |value: &f64| Readable(*value).to_string();
        chart
            .configure_mesh()
            .x_desc("jitter")
            .x_label_formatter(&readable)
            .y_desc("RMS error")
            .y_label_formatter(&readable)
            .light_line_style(WHITE)
            .draw()?;
        for (name, color, errors) in curves {
            let points = || JITTERS.into_iter().zip(errors);
            chart
                .draw_series(LineSeries::new(points(), color.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
            chart.draw_series(points().map(|point| Circle::new(point, 3, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
    }
    root.present()?;
    Ok(())
}
