//! Which 64 m cells of a cut site a part of it occupies.
//!
//! A machine is sent as a ghost to every part that occupies a cell within its reach. Cells are as seen
//! a tick ago, so the reach holds what both could move meanwhile; the neighbour law tests the exact
//! distance, so a ghost too many changes nothing.

use crate::layout::{Layout, Point, units};

/// Side of a cell.
const CELL: i32 = units(64.0);

/// The grid of cells over a site.
#[derive(Clone, Copy, Debug)]
pub struct CellGrid {
    origin: Point,
    columns: i32,
    rows: i32,
}

impl CellGrid {
    /// The grid over a layout.
    #[must_use]
    pub fn new(layout: &Layout) -> CellGrid {
        let (low, high) = (layout.origin(), layout.far_corner());
        CellGrid {
            origin: low,
            columns: (high.x - low.x) / CELL + 1,
            rows: (high.y - low.y) / CELL + 1,
        }
    }

    /// Words of a bitmap.
    #[must_use]
    pub fn words(&self) -> usize {
        (self.columns as usize * self.rows as usize).div_ceil(32)
    }

    /// Marks the cell of a place. What lies outside the grid belongs to its nearest cell.
    pub fn mark(&self, bitmap: &mut [u32], at: Point) {
        let bit = self.bit(self.column(at.x), self.row(at.y));
        bitmap[bit / 32] |= 1 << (bit % 32);
    }

    /// Whether a bitmap has a cell that touches the square of half side `reach` around a place.
    #[must_use]
    pub fn touches(&self, bitmap: &[u32], at: Point, reach: i32) -> bool {
        for row in self.row(at.y - reach)..=self.row(at.y + reach) {
            for column in self.column(at.x - reach)..=self.column(at.x + reach) {
                let bit = self.bit(column, row);
                if bitmap[bit / 32] & 1 << (bit % 32) != 0 {
                    return true;
                }
            }
        }
        false
    }

    fn column(&self, x: i32) -> i32 {
        ((x - self.origin.x) / CELL).clamp(0, self.columns - 1)
    }

    fn row(&self, y: i32) -> i32 {
        ((y - self.origin.y) / CELL).clamp(0, self.rows - 1)
    }

    fn bit(&self, column: i32, row: i32) -> usize {
        (row * self.columns + column) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_seen_from_within_reach_of_it_and_not_from_farther() {
        let grid = CellGrid {
            origin: Point { x: 0, y: 0 },
            columns: 10,
            rows: 10,
        };
        let mut bitmap = vec![0; grid.words()];
        grid.mark(
            &mut bitmap,
            Point {
                x: units(100.0),
                y: units(100.0),
            },
        );
        let seen = |x: f32, y: f32| {
            let at = Point {
                x: units(x),
                y: units(y),
            };
            grid.touches(&bitmap, at, units(10.0))
        };
        // The cell spans 64..128 m.
        assert!(seen(55.0, 100.0) && seen(137.0, 137.0));
        assert!(!seen(53.0, 100.0) && !seen(139.0, 100.0));
    }

    #[test]
    fn places_outside_belong_to_the_nearest_cell() {
        let grid = CellGrid {
            origin: Point { x: 0, y: 0 },
            columns: 2,
            rows: 2,
        };
        let mut bitmap = vec![0; grid.words()];
        grid.mark(
            &mut bitmap,
            Point {
                x: -units(5.0),
                y: -units(5.0),
            },
        );
        assert!(grid.touches(
            &bitmap,
            Point {
                x: -units(9.0),
                y: 0
            },
            units(8.0)
        ));
    }
}
