//! The migrations are embedded: a new one must make this crate compile anew.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
