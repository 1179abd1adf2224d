//! Scaling, crops and per-image whitening (appendix A).
