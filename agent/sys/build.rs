//! Compiles the part that speaks to OpenH264, against the header of the target's library.

fn main() {
    println!("cargo::rerun-if-changed=native/h264.c");
    cc::Build::new()
        .file("native/h264.c")
        .std("c11")
        .warnings(true)
        .compile("bakelite_h264");
    println!("cargo::rustc-link-lib=openh264");
}
