"""What every method stands on and no chapter teaches; it imports no method.

checks      one intake for each kind of argument
graph       find layers, make models of parts of a model
hooks       forward passes in which layers are recorded or replaced
gradients   one forward and one backward pass, with a backprop rule
resume      run a network again from one layer on
statistics  intervals and chance levels
images      blur and stretch
"""
