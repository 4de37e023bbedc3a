//! Made-up records, a function of their number alone: `flat10` (about 200 bytes), `taxi29` (1 KB) and `small` (143 bytes).

const CITIES: [&str; 16] = [
    "Lisbon",
    "Porto",
    "Berlin",
    "Ghent",
    "Turin",
    "Oslo",
    "Lyon",
    "Leeds",
    "Kyoto",
    "Quito",
    "Lima",
    "Perth",
    "Malmö",
    "Zürich",
    "São Paulo",
    "Cork",
];
const STATES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
const NAMES: [&str; 12] = ["ada", "bo", "cleo", "dirk", "edda", "finn", "gus", "hana", "ivo", "jo", "kai", "lena"];
const WORDS: [&str; 16] = [
    "alpha", "bravo", "carbon", "delta", "ember", "flint", "gale", "harbor", "iris", "juniper", "kelp", "lumen",
    "moss", "nickel", "onyx", "pewter",
];
const ZONES: [&str; 5] = ["Yellow Zone", "Boro Zone", "Airports", "EWR", "N/A"];
/// 2023-11-14, the day all records are of.
const DAY: &str = "2023-11-14";

/// Random numbers of one record.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % bound
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap_or_default()]
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.one(&WORDS)).collect::<Vec<_>>().join(" ")
    }
}

fn clock(second: u64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60)
}

pub(crate) fn flat10(number: u64) -> String {
    let mut dice = Dice(number);
    format!(
        r#"{{"id":{number},"user_id":{},"amount":{}.{:02},"ratio":0.{:06},"city":"{}","status":"{}","name":"{}-{}-{:05}","active":{},"qty":{},"created_at":"{DAY}T{}.{:03}Z"}}"#,
        dice.roll(1_000_003),
        dice.roll(9973),
        dice.roll(99) + 1,
        dice.roll(999_999) + 1,
        dice.one(&CITIES),
        dice.one(&STATES),
        dice.one(&NAMES),
        dice.words(3),
        dice.roll(100_000),
        dice.roll(2) == 0,
        dice.roll(40),
        clock(number / 50),
        number % 999 + 1,
    )
}

pub(crate) fn small(number: u64) -> String {
    let mut dice = Dice(number);
    format!(
        r#"{{"id":{number},"vendor":{},"distance":{}.{:02},"fare":{}.{:02},"zone":"{}-{:04}","label":"{}","paid":{},"ts":"{DAY}T{}Z"}}"#,
        dice.roll(7),
        dice.roll(97),
        dice.roll(99) + 1,
        dice.roll(300),
        dice.roll(99) + 1,
        dice.one(&WORDS),
        dice.roll(10_000),
        dice.words(3),
        dice.roll(2) == 0,
        clock(number / 50),
    )
}

pub(crate) fn taxi29(number: u64) -> String {
    let mut dice = Dice(number);
    let mut record = format!(
        r#"{{"VendorID":{},"tpep_pickup_datetime":"{DAY} {}","tpep_dropoff_datetime":"{DAY} {}","passenger_count":{}"#,
        dice.roll(2) + 1,
        clock(number / 20),
        clock(number / 20 + dice.roll(3600)),
        dice.roll(6) + 1,
    );
    for key in ["trip_distance", "fare_amount", "tip_amount", "tolls_amount", "total_amount"] {
        record += &format!(r#","{key}":{}.{:02}"#, dice.roll(90), dice.roll(100));
    }
    for key in ["RatecodeID", "PULocationID", "DOLocationID", "payment_type", "trip_seconds"] {
        record += &format!(r#","{key}":{}"#, dice.roll(300));
    }
    for key in ["congestion_surcharge", "airport_fee"] {
        record += &format!(r#","{key}":{}"#, if dice.roll(2) == 0 { "null" } else { "2.5" });
    }
    record += &format!(
        r#","store_and_fwd_flag":"N","extra":{}.5,"mta_tax":0.5,"improvement_surcharge":0.3,"trip_id":"{:016x}-{:016x}","pickup_zone":"{} {}","dropoff_zone":"{} {}","driver_name":"{}-{}","medallion":"A{:02}B{:02}","shared":{},"pickup_lat":40.{:06},"pickup_lon":-73.{:06},"note":"{}, {}"}}"#,
        dice.roll(4),
        dice.roll(u64::MAX),
        dice.roll(u64::MAX),
        dice.one(&ZONES),
        dice.one(&CITIES),
        dice.one(&ZONES),
        dice.one(&CITIES),
        dice.one(&NAMES),
        dice.one(&WORDS),
        dice.roll(100),
        dice.roll(100),
        dice.roll(2) == 0,
        dice.roll(1_000_000),
        dice.roll(1_000_000),
        dice.words(30),
        dice.words(28),
    );
    record
}
