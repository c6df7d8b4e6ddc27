# Rscript acepack_141.R in.csv out.csv: what acepack's ace() makes of y (first column) and x (the others).
# out.csv: theta, phi_1, ..., phi_p, and R-squared in every row; 17 digits give every double back
library(acepack)
files <- commandArgs(trailingOnly = TRUE)
data <- as.matrix(read.csv(files[1], header = FALSE))
found <- ace(data[, -1, drop = FALSE], data[, 1])
out <- cbind(found$ty, matrix(found$tx, nrow = nrow(data)), found$rsq)
out[] <- sprintf("%.17g", out)
write.table(out, files[2], sep = ",", row.names = FALSE, col.names = FALSE, quote = FALSE)
