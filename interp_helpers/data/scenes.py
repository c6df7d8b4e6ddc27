"""Street scenes that are drawn, so that everything is known: what stands where, and what makes the air bad.

Lengths are metres. X points to the right of the middle of the road, Y upwards from it, Z along the street, from the
camera.

>>> street_scenes(2).images.shape
(2, 64, 96, 3)
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from interp_helpers.engine.checks import check_count, check_number

BASE = 30.0  # the value of an empty, wide, bare street
EFFECTS = {"vehicles": 2.0, "canyon": 12.0, "trees": -2.0}
NOISE_SD = 3.0
OBJECTS = ("sky", "building", "road", "pavement", "tree", "vehicle")

_SKY, _BUILDING, _ROAD, _PAVEMENT, _TREE, _VEHICLE = range(6)
_BLOCK = 100  # scenes drawn together, from one generator: the first scenes do not depend on how many are wanted
_FAR, _PLOT, _N_PLOTS = 70.0, 9.0, 8  # where the street ends; length of a building plot; plots a side
_WALLS = np.array([(0.62, 0.35, 0.28), (0.80, 0.72, 0.58), (0.70, 0.69, 0.66), (0.88, 0.86, 0.80), (0.50, 0.52, 0.46)])
_PAINTS = np.array(
    [(0.92, 0.92, 0.92), (0.12, 0.12, 0.14), (0.55, 0.57, 0.60), (0.7, 0.1, 0.1), (0.12, 0.25, 0.55), (0.2, 0.4, 0.25)]
)
_VEHICLES = np.array([(1.8, 1.5), (2.0, 2.2), (2.5, 3.1)])  # width and height of a car, a van and a bus


@dataclass(frozen=True)
class StreetScenes:
    """Drawn streets with all that is known of them."""

    images: np.ndarray  #: shape (N, height, width, 3), float32 in [0, 1]
    values: np.ndarray  #: shape (N,), the pollution to be predicted, in micrograms per cubic metre of an invented gas
    masks: dict  #: from each of ``OBJECTS`` to where it is seen, bool (N, height, width): a pixel belongs to one
    causes: pd.DataFrame  #: vehicles, canyon, trees; expected (without noise); light and haze, which have no effect

    def __len__(self):
        return len(self.images)

    def subset(self, keep):
        """Return the scenes that `keep` selects (a slice, a list of indices or a boolean mask)."""
        masks = {name: mask[keep] for name, mask in self.masks.items()}
        return StreetScenes(self.images[keep], self.values[keep], masks, self.causes.iloc[keep].reset_index(drop=True))


def street_scenes(n, seed=0, height=64, effects=None, noise_sd=NOISE_SD):
    """Draw streets, and build a pollution value from traffic, canyon and greenery, plus noise.

    value = 30 + 2 vehicles + 12 canyon - 2 trees + noise, where vehicles and trees are numbers from 0 to 8, and canyon
    is the mean height of the buildings over the width of the street (about 0.2 to 2). Causes, light, haze, colours and
    the camera's position are drawn independently of one another.

    A pinhole camera looks along a straight street: rays end on the ground or on one of two planes of facades; trees and
    vehicles are flat and stand across the street, the nearer one hides the farther one.

    Parameters
    ----------
    n, seed : int; the first scenes of a seed are the same for every `n`, and have the same causes for every `height`
    height : int; of the images, in pixels; the width is 1.5 times as much
    effects : dict of str to float, optional; of vehicles, canyon and trees; 0 for those that are left out
    noise_sd : float; standard deviation of the noise of the values
    """
    n, seed, height = check_count("n", n), check_count("seed", seed, 0), check_count("height", height, 16)
    if height % 2:
        raise ValueError(f"height: got {height}; give an even number")
    effects = EFFECTS if effects is None else effects
    if not isinstance(effects, dict) or not set(effects) <= set(EFFECTS):
        raise ValueError(f"effects: got {effects!r}; give a dict of numbers for some of {', '.join(EFFECTS)}")
    effects = {name: check_number(f"effects: {name}", effects.get(name, 0.0)) for name in EFFECTS}
    check_number("noise_sd", noise_sd, 0)
    width = 3 * height // 2
    images, seen = np.empty((n, height, width, 3), np.float32), np.empty((n, height, width), np.uint8)
    tables = []
    for start in tqdm(range(0, n, _BLOCK), desc="scenes", leave=False, delay=2):
        rng = np.random.default_rng([seed, start // _BLOCK])
        street, noise = _drawn(rng), rng.standard_normal(_BLOCK)
        table = pd.DataFrame({name: street[name] for name in ("vehicles", "canyon", "trees", "light", "haze")})
        table["expected"] = BASE + sum(effect * table[name] for name, effect in effects.items())
        table["value"] = table["expected"] + noise_sd * noise
        tables.append(table)
        stop = min(start + _BLOCK, n)
        kept = {name: values[: stop - start] for name, values in street.items()}
        images[start:stop], seen[start:stop] = _painted(kept, height, width, rng)
    causes = pd.concat(tables, ignore_index=True)[:n]
    masks = {name: seen == number for number, name in enumerate(OBJECTS)}
    return StreetScenes(images, causes.pop("value").to_numpy(), masks, causes)


def _drawn(rng):
    """Draw what a block of streets is like; each entry has the streets as its first axis."""
    n = _BLOCK
    between = lambda low, high, *shape: rng.uniform(low, high, (n, *shape))  # noqa: E731
    road, pavement = between(4, 6.5), between(2.5, 4)
    heights = between(4, 26)[:, None, None] * between(0.75, 1.25, 2, _N_PLOTS)
    vehicles, trees = rng.integers(0, 9, n), rng.integers(0, 9, n)
    kind = rng.choice(3, (n, 8), p=(0.7, 0.2, 0.1))
    position = np.arange(8)
    return {
        "vehicles": vehicles,
        "trees": trees,
        "canyon": heights.mean(axis=(1, 2)) / (2 * (road + pavement)),
        "light": between(0.65, 1.1),
        "haze": between(0.003, 0.015),
        "road": road,
        "half": road + pavement,
        "heights": heights,
        "walls": _WALLS[rng.integers(0, len(_WALLS), (n, 2, _N_PLOTS))] * between(0.8, 1.1, 2, _N_PLOTS, 1),
        "sunny": np.stack([between(0.7, 1), between(0.7, 1)], axis=1),
        "warmth": between(-0.05, 0.05),
        "blue": between(0, 1),
        "across": between(-0.25, 0.25) * road,
        "above": between(2.2, 2.8),
        "vanishing": np.stack([between(0.44, 0.52), between(0.45, 0.55)], axis=1),  # share of height and width
        "graininess": between(0.005, 0.03),
        # which of eight places are taken; their distance; left or right
        "vehicle_there": rng.permuted(np.tile(position, (n, 1)), axis=1) < vehicles[:, None],
        "vehicle_z": 7 + 6.5 * (position // 2) + between(-0.8, 0.8, 8),
        "vehicle_side": np.tile(2.0 * (position % 2) - 1, (n, 1)),
        "vehicle_size": _VEHICLES[kind] * between(0.95, 1.05, 8, 1),
        "paint": _PAINTS[rng.integers(0, len(_PAINTS), (n, 8))],
        "tree_there": rng.permuted(np.tile(position, (n, 1)), axis=1) < trees[:, None],
        "tree_z": 8.5 + 7 * (position // 2) + between(-2, 2, 8),
        "tree_side": np.tile(2.0 * (position % 2) - 1, (n, 1)),
        "crown": np.stack([between(3.8, 5.2, 8), between(1.4, 2.2, 8), between(1.5, 2.4, 8)], axis=2),  # Y, radii
        "leaf": np.stack([between(0.12, 0.32, 8), between(0.32, 0.5, 8), between(0.08, 0.2, 8)], axis=2),
    }


def _painted(street, height, width, rng):
    """Paint streets; return images (n, height, width, 3), and the number of the object seen at each pixel."""
    street = {name: one.astype(np.float32) if one.dtype.kind == "f" else one for name, one in street.items()}
    n, unit = len(street["road"]), np.float32(height / 64)  # pixels of a small image
    focal = 60 * unit
    row = (np.arange(height, dtype=np.float32) + 0.5)[None] - street["vanishing"][:, :1] * height
    column = (np.arange(width, dtype=np.float32) + 0.5)[None] - street["vanishing"][:, 1:] * width
    up, right = -row[:, :, None] / focal, column[:, None, :] / focal  # of the ray through a pixel, for one metre of Z
    grain = _smooth_noise(rng, (n, height, width), 0.8 * unit)
    sheet = {
        "colour": np.empty((n, height, width, 3), np.float32),
        "seen": np.zeros((n, height, width), np.uint8),
        "depth": np.full((n, height, width), _FAR, np.float32),
    }
    _paint_street(sheet, street, up, right, grain, rng, unit)
    for position in range(8):
        _paint_tree(sheet, street, position, up, right, grain)
        _paint_vehicle(sheet, street, position, up, right)
    far = (1 - np.exp(-sheet["depth"] * street["haze"][:, None, None]))[..., None]
    air = np.float32([0.78, 0.80, 0.82])
    colour = np.where((sheet["seen"] == _SKY)[..., None], sheet["colour"], sheet["colour"] * (1 - far) + air * far)
    tint = 1 + street["warmth"][:, None] * np.float32([1, 0, -1])
    colour = colour * (street["light"][:, None] * tint)[:, None, None]
    colour = gaussian_filter(colour, (0, 0.45, 0.45, 0))  # a lens
    colour += street["graininess"][:, None, None, None] * rng.standard_normal(colour.shape, np.float32)
    return np.clip(colour, 0, 1).astype(np.float32), sheet["seen"]


def _paint_street(sheet, street, up, right, grain, rng, unit):
    """Paint sky, facades, road and pavement, and note how far away they are."""
    each = np.arange(len(grain))[:, None]
    side = (right[:, 0] > 0).astype(int)  # of the facades: 0 left, 1 right
    wall_x = np.float32(2 * side - 1) * street["half"][:, None] - street["across"][:, None]
    z_wall = np.minimum(wall_x / np.where(right[:, 0] == 0, np.float32(1e-6), right[:, 0]), _FAR)
    plot = np.minimum(z_wall // _PLOT, _N_PLOTS - 1).astype(int)
    top = street["heights"][each, side, plot][:, None]
    y_wall = street["above"][:, None, None] + up * z_wall[:, None]
    with np.errstate(divide="ignore"):
        z_ground = np.where(up < 0, -street["above"][:, None, None] / up, np.float32(np.inf))
    ground = z_ground < z_wall[:, None]
    wall = ~ground & (y_wall < top)

    # sky: from blue or grey to white above the houses, with clouds
    cloud = np.clip(_smooth_noise(rng, grain.shape, 5 * unit) + 0.3, 0, 1) * (1 - 0.6 * street["blue"][:, None, None])
    high = np.clip(1.3 * up, 0, 1)[..., None]
    zenith = np.float32([0.62, 0.66, 0.72]) + street["blue"][:, None] * np.float32([-0.30, -0.12, 0.13])
    sky = np.float32([0.86, 0.88, 0.90]) * (1 - high) + zenith[:, None, None] * high
    colour = sky + 0.25 * cloud[..., None] * (0.95 - sky)

    # facades: windows in rows, a darker ground floor, a seam between houses; blurred away in the distance
    pixel = z_wall**2 / (60 * unit * np.abs(wall_x))  # metres of facade in a pixel
    sharp = np.clip(1.4 - pixel / 2, 0, 1)[:, None]
    across, along = (y_wall % 3.2) / 3.2, ((z_wall % 3) / 3)[:, None]
    window = (along > 0.25) & (along < 0.72) & (across > 0.3) & (across < 0.78) & (y_wall > 3.2)
    shop = (y_wall < 2.9) & (along > 0.1) & (along < 0.9)
    seam = ((z_wall % _PLOT) < 0.35)[:, None] | (y_wall > top - 0.5)
    dark = np.float32(0.5) * window + np.float32(0.45) * shop + np.float32(0.2) * seam
    shade = np.float32(0.88) + sharp * (np.float32(0.12) - dark) + np.float32(0.06) * grain
    lit = street["sunny"][each, side][:, None] * shade
    brick = street["walls"][each, side, plot][:, None] * lit[..., None]
    brick += (np.float32(0.10) * sharp * window)[..., None] * np.float32([0.2, 0.6, 1.0])
    colour = np.where(wall[..., None], brick, colour)

    # ground: asphalt with a dashed line and kerbs, paler pavement
    z_near = np.where(ground, z_ground, np.float32(1))
    x_ground = right * z_near + street["across"][:, None, None]
    road = ground & (np.abs(x_ground) < street["road"][:, None, None])
    dash = (np.abs(x_ground) < 0.16) & (z_near % 6 < 3) & (z_near < 30)
    kerb = np.abs(np.abs(x_ground) - street["road"][:, None, None]) < 0.18
    seams = (z_near % 2 < 0.25) & (z_near < 14)
    grey = np.float32(0.52) - np.float32(0.05) * seams
    grey[road] = 0.34
    grey += np.float32(0.45) * (dash & road) + np.float32(0.12) * kerb + np.float32(0.025) * grain
    colour = np.where(ground[..., None], grey[..., None] * np.float32([1, 1, 1.03]), colour)

    sheet["colour"][:] = colour
    sheet["seen"][wall], sheet["seen"][ground], sheet["seen"][road] = _BUILDING, _PAVEMENT, _ROAD
    sheet["depth"][:] = np.where(ground, z_ground, np.where(wall, z_wall[:, None], _FAR))


def _paint_tree(sheet, street, position, up, right, grain):
    """Paint the trunk and the ragged crown of the tree that may stand at a position."""
    z = street["tree_z"][:, position, None, None]
    x = right * z + street["across"][:, None, None]
    x -= street["tree_side"][:, position, None, None] * (street["road"][:, None, None] + 0.8)
    y = street["above"][:, None, None] + up * z
    middle, wide, tall = (street["crown"][:, position, i, None, None] for i in range(3))
    level = (y - middle) / tall
    crown = (x / wide) ** 2 + level**2 < 1 + 0.35 * grain
    trunk = (np.abs(x) < 0.22) & (y > 0) & (y < middle)
    here = street["tree_there"][:, position, None, None] & (z < sheet["depth"])
    leaf = street["leaf"][:, position, None, None] * (0.85 + 0.22 * level + 0.25 * grain)[..., None]
    _put(sheet, here & trunk & ~crown, z, (0.30, 0.22, 0.15), _TREE)
    _put(sheet, here & crown, z, leaf, _TREE)


def _paint_vehicle(sheet, street, position, up, right):
    """Paint the vehicle that may be at a position: from behind in the right lane, from in front in the left one."""
    z = street["vehicle_z"][:, position, None, None]
    side = street["vehicle_side"][:, position, None, None]
    x = right * z + street["across"][:, None, None] - side * 0.5 * street["road"][:, None, None]
    y = street["above"][:, None, None] + up * z
    wide, tall = (street["vehicle_size"][:, position, i, None, None] for i in (0, 1))
    share_x, share_y = np.abs(x) / (wide / 2), y / tall
    here = street["vehicle_there"][:, position, None, None] & (0.93 * z < sheet["depth"])  # its shadow is nearer
    paint = street["paint"][:, position, None, None]
    low = (y > 0) & (share_y < 0.62) & (share_x < 1)
    cabin = (share_y >= 0.6) & (share_y < 1) & (share_x < np.where(tall < 1.9, 0.98 - 0.5 * (share_y - 0.6), 0.98))
    _put(sheet, here & (y > -0.12) & (y < 0.3) & (share_x < 1.05), z, 0.1, _VEHICLE)  # its shadow, and what is under it
    _put(sheet, here & ((low & (y > 0.28)) | cabin), z, paint, _VEHICLE)
    glass = (share_y > 0.64) & (share_y < 0.92) & (share_x < 0.8)
    _put(sheet, here & glass, z, (0.16, 0.20, 0.25), _VEHICLE)
    lamp = (y > 0.6) & (y < 0.85) & (share_x > 0.7) & low
    _put(sheet, here & lamp & (side > 0), z, (0.85, 0.08, 0.06), _VEHICLE)
    _put(sheet, here & lamp & (side < 0), z, (1.0, 0.97, 0.80), _VEHICLE)
    wheel = (y > -0.05) & (y < 0.5) & (share_x > 0.68) & (share_x < 0.96)
    _put(sheet, here & wheel & (y < 0.34), z, 0.05, _VEHICLE)


def _put(sheet, where, z, colour, number):
    """Paint an object where it is seen, and note its number and its distance there."""
    at, colour = np.flatnonzero(where), np.asarray(colour, np.float32)
    if colour.ndim == 4:
        colour = np.broadcast_to(colour, sheet["colour"].shape).reshape(-1, 3)[at]
    sheet["colour"].reshape(-1, 3)[at] = colour
    sheet["seen"].reshape(-1)[at] = number
    sheet["depth"].reshape(-1)[at] = z.ravel()[at // sheet["depth"][0].size]


def _smooth_noise(rng, shape, sd):
    """Return smooth noise of mean 0 and standard deviation about 1, by image."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), (0, sd, sd))
    return noise / noise.std()
