module hearth/requestsize

go 1.22
