//! Orders of an imaginary shop, as JSON, made fast enough not to be what the demo measures.
//!
//! Every record is a function of the seed and its number alone. Texts are written straight into the
//! caller's buffer; the date is worked out once a minute of the shop's time.

use std::io::Write;

use kanat_lake::calendar::Civil;

/// First order: 2024-03-01T06:00:00Z, in milliseconds since 1970.
const FIRST_ORDER_MS: i64 = 1_709_272_800_000;

/// Milliseconds between two orders, on average; the shop is busy.
const ORDER_EVERY_MS: i64 = 37;

/// Customers of the shop.
const CUSTOMERS: u64 = 50_000;

const COUNTRIES: [(&str, &str); 10] = [
    ("PT", "Lisboa"),
    ("DE", "Köln"),
    ("FR", "Lyon"),
    ("IT", "Torino"),
    ("NO", "Bergen"),
    ("PL", "Kraków"),
    ("JP", "Kyoto"),
    ("PE", "Arequipa"),
    ("CA", "Québec"),
    ("IN", "Pune"),
];

/// Name and price in cents.
const PRODUCTS: [(&str, u64); 12] = [
    ("kettle", 3_490),
    ("desk lamp", 4_250),
    ("rain jacket", 11_900),
    ("notebook", 690),
    ("bike bell", 1_240),
    ("hiking boots", 14_500),
    ("tea, 500 g", 1_875),
    ("headphones", 8_990),
    ("wall clock", 2_999),
    ("garden hose", 2_360),
    ("chess set", 5_700),
    ("umbrella", 1_999),
];

const STATUS: [&str; 5] = ["placed", "paid", "packed", "shipped", "returned"];
const PAYMENT: [&str; 4] = ["card", "invoice", "transfer", "voucher"];

/// Writes orders one after the other.
#[derive(Debug)]
pub(crate) struct Orders {
    seed: u64,
    next: u64,
    minute: i64,
    /// `2024-03-01T06:00:` of [`minute`](Self::minute).
    minute_text: Vec<u8>,
}

impl Orders {
    /// The orders of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: 0, minute: i64::MIN, minute_text: Vec::new() }
    }

    /// Replaces the buffers with key and value of the next order and returns when it was placed, in
    /// milliseconds since 1970.
    pub(crate) fn write_next(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> i64 {
        let number = self.next;
        self.next += 1;
        let dice = mix(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let jitter = (dice >> 58).cast_signed();
        let placed_ms = FIRST_ORDER_MS + number.cast_signed() * ORDER_EVERY_MS + jitter;
        let customer = mix(dice) % CUSTOMERS;
        key.clear();
        value.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(key, "customer-{customer}");
        let _ = write!(value, "{{\"order_id\":{number},\"customer_id\":{customer},\"placed_at\":\"");
        self.write_time(placed_ms, value);
        write_rest(dice, value);
        placed_ms
    }

    /// `2024-03-01T06:00:00.123Z`.
    fn write_time(&mut self, time_ms: i64, out: &mut Vec<u8>) {
        let minute = time_ms.div_euclid(60_000);
        if minute != self.minute {
            self.minute = minute;
            self.minute_text.clear();
            let Civil { year, month, day, hour, minute, .. } = Civil::from_micros(time_ms * 1_000);
            let _ = write!(self.minute_text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:");
        }
        out.extend_from_slice(&self.minute_text);
        let of_minute = time_ms.rem_euclid(60_000);
        let _ = write!(out, "{:02}.{:03}Z", of_minute / 1_000, of_minute % 1_000);
    }
}

fn write_rest(dice: u64, value: &mut Vec<u8>) {
    let (country, city) = COUNTRIES[pick(dice, 0, COUNTRIES.len())];
    let (product, cents) = PRODUCTS[pick(dice, 8, PRODUCTS.len())];
    let status = STATUS[pick(dice, 16, STATUS.len())];
    let payment = PAYMENT[pick(dice, 24, PAYMENT.len())];
    let quantity = 1 + pick(dice, 32, 5);
    let gift = dice >> 40 & 7 == 0;
    let days = 1 + pick(dice, 44, 9);
    let _ = write!(
        value,
        "\",\"country\":\"{country}\",\"city\":\"{city}\",\"product\":\"{product}\",\"quantity\":{quantity},\
         \"unit_price\":{}.{:02},\"status\":\"{status}\",\"payment\":\"{payment}\",\"gift\":{gift},\
         \"shipping\":{{\"days\":{days},\"express\":{}}}",
        cents / 100,
        cents % 100,
        days < 3,
    );
    if dice >> 48 & 3 == 0 {
        let _ = write!(value, ",\"discount_percent\":{}", 5 * (1 + pick(dice, 52, 6)));
    }
    value.push(b'}');
}

/// An index below `length` from eight bits of `dice`.
fn pick(dice: u64, shift: u32, length: usize) -> usize {
    usize::from((dice >> shift).to_le_bytes()[0]) % length
}

/// A well-mixed function of 64 bits (the finaliser of splitmix64).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn orders_are_json_with_a_dozen_fields_and_the_same_every_time() {
        let (mut first, mut second) = (Orders::new(7), Orders::new(7));
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let (mut other_key, mut other_value) = (Vec::new(), Vec::new());
        let mut last_minute = 0;
        for number in 0..5_000_u64 {
            let placed_ms = first.write_next(&mut key, &mut value);
            second.write_next(&mut other_key, &mut other_value);
            assert_eq!((&key, &value), (&other_key, &other_value));
            let order: Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(order["order_id"], number);
            assert!((12..=13).contains(&order.as_object().unwrap().len()), "{order}");
            assert_eq!(key, format!("customer-{}", order["customer_id"]).as_bytes());
            let minute = placed_ms / 60_000;
            assert!(minute >= last_minute);
            last_minute = minute;
        }
    }
}
