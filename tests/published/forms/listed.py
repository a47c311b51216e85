"""What the tokenizers of all forms have in common: their pieces in order, which are their ids."""


class ListedPieces:
    @property
    def pieces(self) -> list[str]:
        raise NotImplementedError

    @property
    def size(self) -> int:
        return len(self.pieces)

    def id(self, token: str) -> int:
        return self.pieces.index(token)
