"""A policy of a frontier for a purpose: trained runs, points of KL paths and realigned policies,
held against each other, and one chosen by a stated rule."""
