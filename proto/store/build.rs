//! Builds the package again when a migration is added: the macro that embeds them can't notice new files.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
