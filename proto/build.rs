//! Compiles the schema with protox (pure Rust, no protoc on the machine) and prost-build.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=schema");
    let files = protox::compile(
        [
            "schema/discord/v1/envelope.proto",
            "schema/discord/v1/rpc.proto",
        ],
        ["schema"],
    )?;
    prost_build::Config::new()
        // Maps in key order, so that equal events have equal bytes.
        .btree_map(["."])
        .bytes(["."])
        .compile_fds(files)?;
    Ok(())
}
