package reconcile

// MergeLines lets the laws of merging be tested on text alone.
var MergeLines = mergeLines
