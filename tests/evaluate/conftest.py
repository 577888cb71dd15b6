import pytest

import vaejax as vj


@pytest.fixture(scope="session")
def data():
    return vj.data.digits()


@pytest.fixture(scope="session")
def classifier(data):
    return vj.evaluate.classifier.train(data)
