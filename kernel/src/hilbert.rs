//! Order of grid cells along a Hilbert curve: cells that are near in the order are near on the ground.

/// Orders the 2^16 x 2^16 cells.
#[must_use]
pub fn index(x: u16, y: u16) -> u32 {
    index_of_order(16, x, y)
}

/// Orders 2^order x 2^order cells; the curve begins at (0, 0) and ends at (2^order - 1, 0).
///
/// # Panics
/// If `order` is over 16 or a coordinate has more than `order` bits.
#[must_use]
pub fn index_of_order(order: u32, x: u16, y: u16) -> u32 {
    assert!(order <= 16, "indices have 32 bits");
    let (mut x, mut y) = (u32::from(x), u32::from(y));
    assert!((x | y) >> order == 0, "cell outside the curve");
    let mut index = 0;
    for level in (0..order).rev() {
        let right = (x >> level) & 1;
        let upper = (y >> level) & 1;
        // Quadrants in the order lower left, upper left, upper right, lower right.
        index = (index << 2) | ((3 * right) ^ upper);
        // The lower quadrants hold the curve mirrored in a diagonal.
        if upper == 0 {
            if right == 1 {
                (x, y) = (!x, !y);
            }
            (x, y) = (y, x);
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells_in_order(order: u32) -> Vec<(u16, u16)> {
        let side = 1_u16 << order;
        let mut cells = vec![None; usize::from(side) * usize::from(side)];
        for x in 0..side {
            for y in 0..side {
                let place = &mut cells[index_of_order(order, x, y) as usize];
                assert_eq!(*place, None, "two cells at one index");
                *place = Some((x, y));
            }
        }
        cells.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn every_index_has_one_cell_and_consecutive_cells_touch() {
        for order in 0..=7 {
            let cells = cells_in_order(order);
            for pair in cells.windows(2) {
                let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
                assert_eq!(x0.abs_diff(x1) + y0.abs_diff(y1), 1, "order {order}");
            }
            let end = (1_u16 << order) - 1;
            assert_eq!((cells[0], *cells.last().unwrap()), ((0, 0), (end, 0)));
        }
    }

    #[test]
    fn first_order_is_the_known_cup() {
        assert_eq!(cells_in_order(1), [(0, 0), (0, 1), (1, 1), (1, 0)]);
    }

    #[test]
    fn the_full_curve_ends_at_its_corner() {
        assert_eq!(index(0, 0), 0);
        assert_eq!(index(u16::MAX, 0), u32::MAX);
    }
}
