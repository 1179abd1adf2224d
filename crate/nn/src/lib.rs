//! Networks on dfdx: their operations, layers, models, optimisers and devices; processes that train one model together; and
//! solvers of kernel equations. It knows no data set, no file format and no study.
//!
//! | module | what is in it | paper |
//! | --- | --- | --- |
//! | [`models`] | the architectures, one file each | appendix A, figure 3 |
//! | [`ops`] | the layers' operations on dfdx's tape, on fast matrix products | |
//! | [`optim`] | SGD with momentum and weight decay, RMSProp, Adam, averages of weights | appendix A |
//! | [`image`] | crops, changes and whitening of a batch's small images | appendix A |
//! | [`device`], [`cuda`] | what is computed on; networks and kernel equations on a GPU | |
//! | [`distributed`] | many processes that train one model, by MPI | appendix A |
//! | [`kernel_methods`] | kernel matrices and their exact solution | section 5, table 3 |
//! | [`threads`] | work shared out among threads | |
//! | [`instructions`] | which vector instructions are used | |
//! | [`large_pages`] | the allocator of a program that trains | |
//! | [`memory`] | whether there is memory for what is about to be computed | |
//! | [`interrupt`] | the wish that work ends early | |
//! | [`precision`] | what products round their factors to | |
//! | [`numbers`] | the largest of numbers, where one may be none | |
//! | [`text`] | numbers and bytes as text | |
//! | [`error`] | the error enum | |

pub mod cuda;
pub mod device;
pub mod distributed;
pub mod error;
pub mod image;
pub mod instructions;
pub mod interrupt;
pub mod kernel_methods;
pub mod large_pages;
pub mod memory;
pub mod models;
pub mod numbers;
pub mod ops;
pub mod optim;
pub mod precision;
pub mod text;
pub mod threads;

pub use error::{Error, Result};
