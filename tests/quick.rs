//! The quick loop, `cargo test --release --test quick`: every area whose tests need no kernel, cluster or browser and little time. A
//! module is an area: `cargo test --release --test quick recipes`. One program for all of them is linked once.

mod architecture;
mod arrays;
mod augment;
mod claims;
mod complexity;
mod corruption;
mod data;
mod docs;
mod expected;
mod export;
mod expressivity;
mod figures;
mod imagenet;
mod kernels;
mod models;
mod ops;
mod output;
mod own;
mod precision;
mod predictions;
mod recipes;
mod schema;
mod show;
mod tensorboard;
mod threads;
mod training;
