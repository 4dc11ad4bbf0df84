"""Every way there is: to add one, write its module and name it here."""

from service.predictors.compiled.boosters import Boosters, XgboostInPlace
from service.predictors.compiled.boosting import Boosting
from service.predictors.compiled.direct_steps import DirectSteps
from service.predictors.compiled.gtil import Gtil
from service.predictors.compiled.linear import Linear
from service.predictors.compiled.llvm_forest import LlvmForest, LlvmForestInThreads
from service.predictors.compiled.onnx_forest import OnnxForest, OnnxForestInThreads
from service.predictors.compiled.onnx_steps import OnnxSteps
from service.predictors.compiled.onnx_whole import OnnxWhole
from service.predictors.compiled.own_estimator import OwnEstimator
from service.predictors.compiled.own_steps import OwnSteps
from service.predictors.compiled.recipe import Recipe, Steps, WholeRecipe
from service.predictors.compiled.trees import Trees, TreesInThreads

STEPS: tuple[Steps, ...] = (DirectSteps(), OnnxSteps(), OwnSteps())
"""The fastest of these that gives the same matrix stands before every recipe."""

RECIPES: tuple[Recipe, ...] = (
    LlvmForest(),
    LlvmForestInThreads(),
    Trees(),
    TreesInThreads(),
    Gtil(),
    OnnxForest(),
    OnnxForestInThreads(),
    Boosting(),
    Linear(),
    Boosters(),
    XgboostInPlace(),
    OwnEstimator(),
)
"""Ways to do what the estimator does."""

WHOLES: tuple[WholeRecipe, ...] = (OnnxWhole(),)
"""Ways to do all of a model."""

FIRST_STEPS: tuple[Steps, ...] = (DirectSteps(), OwnSteps())
FIRST_RECIPES: tuple[Recipe, ...] = (LlvmForest(), Boosting(), Linear(), XgboostInPlace())
"""Of all these, what is ready at once: it is tried before the rest, which takes seconds."""
